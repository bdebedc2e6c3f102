//! The body of a stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::Frame;
use tokio::task::AbortHandle;

use crate::codec::BodyError;

/// What comes on a stream.
pub(in crate::codec) struct Http2Body {
    stream: RecvStream,
    /// Whether the trailers are still to come.
    is_data: bool,
    is_response: bool,
    /// Of a response: its request may still be on its way.
    _pump: Option<Pump>,
}

/// The task that sends a request's body, ended when nobody waits for the response.
pub(super) struct Pump(pub(super) AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Http2Body {
    pub(super) fn of_request(stream: RecvStream) -> Self {
        Self { stream, is_data: true, is_response: false, _pump: None }
    }

    pub(super) fn of_response(stream: RecvStream, pump: Option<Pump>) -> Self {
        Self { stream, is_data: true, is_response: true, _pump: pump }
    }

    pub(in crate::codec) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever asked has room for it: let the peer send as much again.
                    let released = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(
                        released.map(|()| Frame::data(data)).map_err(BodyError::Http2),
                    ));
                }
                // The response is complete, the rest of the request is not wanted
                // (RFC 9113, section 8.1).
                Some(Err(error))
                    if self.is_response && error.reason() == Some(Reason::NO_ERROR) =>
                {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Http2(error)))),
                None => self.is_data = false,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(BodyError::Http2);
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    pub(in crate::codec) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
