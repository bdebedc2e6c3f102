//! What can go wrong while a body passes through.

/// A body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Of HTTP/1.
    #[error(transparent)]
    Malformed(super::Malformed),
    /// The connection ended, or failed.
    #[error(transparent)]
    Connection(std::io::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// The response took longer than its route allows.
    #[error("response timeout")]
    ResponseTimeout,
    /// The request did not arrive in time.
    #[error("request timeout")]
    RequestTimeout,
    /// The stream took longer than its route allows.
    #[error("stream duration timeout")]
    DurationTimeout,
    /// Nothing came for too long.
    #[error("stream timeout")]
    StreamIdleTimeout,
    /// A copy of a body that was not read to its end, or not soon enough.
    #[error("the copy is not whole")]
    Uncopied,
    /// A request's body is read by another try, from its beginning.
    #[error("the request was given to another try")]
    Superseded,
}

impl BodyError {
    /// Whether an HTTP/2 peer has reset the stream.
    pub(crate) fn is_stream_reset(&self) -> bool {
        matches!(self, Self::Http2(error) if error.is_reset())
    }
}
