//! HTTP/1.1 (RFC 9112), on both sides of the proxy.
//!
//! Who reads a message is who wants its body: there is no task, no channel and no copy in
//! between. What both sides share is a [`channel::Channel`], the connection with the
//! message that is being read from it.

mod body;
mod channel;
pub(super) mod client;
mod decode;
mod encode;
mod error;
mod fields;
#[cfg(fuzzing)]
mod fuzz;
mod output;
mod request;
mod response;
mod scan;
pub(super) mod server;
mod spelling;
mod wire;

pub(super) use body::Http1Body;
pub(crate) use error::Malformed;
#[cfg(fuzzing)]
pub(crate) use fuzz::fuzz;

/// How large and how many the header fields of a head, or of trailers, may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) count: usize,
}

impl Default for Limits {
    /// Envoy's: `max_request_headers_kb` and `max_headers_count`.
    fn default() -> Self {
        Self { bytes: 60 * 1024, count: 100 }
    }
}
