//! The codecs towards upstreams.

pub(crate) use super::http1::client::Http1;
pub(crate) use super::http2::client::{CONNECTION_WINDOW, Http2, SEND_BUFFER, STREAM_WINDOW};

use std::error::Error;
use std::io;
use std::sync::Arc;

use super::Body;
use crate::transport::tls::HandshakeError;

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
    /// Why TLS failed, if that is why: the server may refuse a client's certificate after
    /// the client's part of the handshake.
    pub(crate) transport_failure: Option<Arc<str>>,
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
    pub(super) fn new(kind: SendErrorKind, detail: impl ToString) -> Self {
        let detail = detail.to_string();
        Self { kind, detail, body: None, connection_broke: false, transport_failure: None }
    }
}

/// The reason of a TLS error behind this one.
pub(super) fn transport_failure(error: &(dyn Error + 'static)) -> Option<Arc<str>> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some(failure) = HandshakeError::of_tls(error)
        {
            return Some(failure.reason);
        }
        next = error.source();
    }
    None
}
