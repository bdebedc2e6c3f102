//! A response's body on its way back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::attempt::Exchange;
use super::timers::{Expired, Timers};
use crate::codec::{Body, BodyError};

/// The body of a response, with the upstream's stream and the timers that it is under.
pub(crate) struct ResponseBody {
    body: Body,
    upstream: Option<Box<Upstream>>,
}

struct Upstream {
    exchange: Exchange,
    timers: Timers,
}

impl ResponseBody {
    /// A body of the proxy's own.
    pub(super) fn local(body: Body) -> Self {
        Self { body, upstream: None }
    }

    /// A body from an upstream, whose connection is free when it ends.
    pub(super) fn upstream(body: Body, exchange: Exchange, timers: Timers) -> Self {
        if body.is_empty() {
            exchange.complete();
            return Self { body, upstream: None };
        }
        Self { body, upstream: Some(Box::new(Upstream { exchange, timers })) }
    }

    fn end(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.exchange.complete();
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if this.body.is_empty() {
                    this.end();
                } else if let Some(upstream) = &mut this.upstream {
                    upstream.timers.last = Instant::now();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(upstream) = this.upstream.take() {
                    upstream.exchange.reset();
                }
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(upstream) = &mut this.upstream else { return Poll::Pending };
                let Poll::Ready(expired) = upstream.timers.poll(cx) else { return Poll::Pending };
                upstream.exchange.count_timeout();
                this.upstream = None;
                Poll::Ready(Some(Err(match expired {
                    Expired::Response => BodyError::ResponseTimeout,
                    Expired::Idle => BodyError::StreamIdleTimeout,
                    Expired::Request => BodyError::RequestTimeout,
                })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
