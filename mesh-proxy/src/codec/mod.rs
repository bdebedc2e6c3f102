//! The seam between the proxy and its HTTP codecs.
//!
//! The rest of the proxy sees [`http::request::Parts`], [`http::response::Parts`] and
//! [`Body`]. hyper speaks HTTP/1 on both sides and HTTP/2 to clients; to upstreams HTTP/2
//! is spoken by `h2` itself, which says why a stream was reset (whether a retry is safe)
//! and needs no task per stream.

mod body;
pub(crate) mod client;
mod error;
pub(crate) mod grpc;
mod linger;
mod pace;
mod preface;
mod replay;
pub(crate) mod server;
mod tee;
mod tunnel;
mod watched;

pub(crate) use body::{Body, Meter};
pub(crate) use error::BodyError;
pub(crate) use grpc::{grpc_timeout, grpc_timeout_value, is_grpc};
pub(crate) use pace::Pace;
pub(crate) use replay::{Recording, Replay};
pub(crate) use tee::Tee;
pub(crate) use tunnel::{Upgrade, tunnel};
pub(crate) use watched::Stall;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// "HTTP/1.1", "HTTP/2".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}
