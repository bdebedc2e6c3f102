//! The seam between the proxy and its HTTP codecs.
//!
//! The rest of the proxy sees [`http::request::Parts`], [`http::response::Parts`] and
//! [`Body`]. HTTP/1 is our own on both sides: as strict as has to be between parties that
//! must agree where a message ends, with trailers, upgrades and the spelling of names. HTTP/2
//! is spoken by `h2`, which says why a stream was reset (whether a retry is safe). Tunnels are
//! bodies, which last until their side has said all.

mod body;
pub(crate) mod client;
mod error;
pub(crate) mod grpc;
mod http1;
mod http2;
mod linger;
mod pace;
mod preface;
mod replay;
pub(crate) mod server;
mod tee;
mod watched;

pub(crate) use body::{Body, Meter};
pub(crate) use error::BodyError;
pub(crate) use grpc::{grpc_timeout, grpc_timeout_value, is_grpc};
#[cfg(fuzzing)]
pub(crate) use http1::fuzz as fuzz_http1;
pub(crate) use http1::{Limits, Malformed};
pub(crate) use pace::Pace;
#[cfg(fuzzing)]
pub(crate) use preface::fuzz as fuzz_preface;
pub(crate) use replay::{Recording, Replay};
pub(crate) use tee::Tee;
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

/// Marks a request whose target had a fragment, which is nobody's but the client's (RFC 9110,
/// section 7.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment;
