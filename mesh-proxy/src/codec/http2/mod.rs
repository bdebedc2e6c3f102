//! HTTP/2 (RFC 9113), on both sides of the proxy, by `h2`.

mod body;
pub(super) mod client;
mod send;
pub(super) mod server;
mod tunnel;

pub(super) use body::Http2Body;
