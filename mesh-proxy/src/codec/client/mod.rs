//! The codecs towards upstreams.

mod http1;
mod http2;

pub(crate) use http1::Http1;
pub(super) use http2::Http2Body;
pub(crate) use http2::{CONNECTION_WINDOW, Http2, STREAM_WINDOW};

use super::Body;

/// A request got no response.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?}: {detail}")]
pub(crate) struct SendError {
    pub(crate) kind: SendErrorKind,
    pub(crate) detail: String,
    /// The body, when nothing of it was taken.
    pub(crate) body: Option<Body>,
    /// The connection takes no more requests: it is closed, or the upstream said GOAWAY.
    pub(crate) connection_broke: bool,
}

/// How far the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendErrorKind {
    /// Nothing was sent: the connection was closed already.
    NotSent,
    /// The upstream says that it did not process the request (REFUSED_STREAM, or a GOAWAY
    /// with a lower stream).
    Refused,
    /// The connection ended before the response began.
    Closed,
    /// The upstream reset the stream.
    Reset,
    /// What came is not HTTP.
    Protocol,
}

impl SendError {
    fn new(kind: SendErrorKind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string(), body: None, connection_broke: false }
    }
}
