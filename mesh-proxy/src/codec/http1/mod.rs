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
mod output;
mod request;
mod response;
mod scan;
pub(super) mod server;
mod spelling;
mod wire;

pub(super) use body::Http1Body;
pub(crate) use error::Malformed;

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

/// A request and a response in these bytes, each with its body.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let (limits, options) = (Limits::default(), crate::config::Http1Options::default());
    let Ok(Some(end)) = scan::Scan::default().end(bytes) else { return };
    let mut input = bytes::BytesMut::from(bytes);
    if let Ok(mut head) = request::take(&mut input, end, limits, &options) {
        fuzz_body(&mut head.decoder, &mut input, limits);
    }
    let mut input = bytes::BytesMut::from(bytes);
    if let Ok(mut head) = response::take(&mut input, end, &http::Method::GET, limits, &options) {
        fuzz_body(&mut head.decoder, &mut input, limits);
    }
}

#[cfg(fuzzing)]
fn fuzz_body(decoder: &mut decode::Decoder, input: &mut bytes::BytesMut, limits: Limits) {
    while !decoder.is_done() && matches!(decoder.decode(input, limits), Ok(Some(_))) {}
}
