//! A response's body on its way back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::task::spawn_local;

use super::attempt::Exchange;
use super::timers::{Expired, Timers};
use crate::codec::{Body, BodyError};

/// How long the end of a response may take of which everything else has come.
const LAST_FRAME: Duration = Duration::from_secs(5);

/// The body of a response, with the upstream's stream and the timers that it is under.
pub(crate) struct ResponseBody {
    body: Body,
    upstream: Option<Box<Upstream>>,
}

struct Upstream {
    exchange: Exchange,
    timers: Timers,
    /// How much is still to come, if the head said it.
    remaining: Option<u64>,
}

impl ResponseBody {
    /// A body of the proxy's own.
    pub(super) fn local(body: Body) -> Self {
        Self { body, upstream: None }
    }

    /// The response of an upstream to a request of `method`. The upstream's connection is
    /// free when the body ends.
    pub(super) fn upstream(
        response: Response<Body>,
        method: &Method,
        exchange: Exchange,
        timers: Timers,
    ) -> Response<Self> {
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let remaining =
            promised(&response, method).filter(|_| !is_upgrade && *method != Method::CONNECT);
        response.map(|body| {
            if body.is_empty() {
                exchange.complete();
                return Self { body, upstream: None };
            }
            Self { body, upstream: Some(Box::new(Upstream { exchange, timers, remaining })) }
        })
    }

    /// Makes another body of this one; the upstream's connection is free when that ends.
    pub(crate) fn wrap(&mut self, make: impl FnOnce(Body) -> Body) {
        if !self.body.is_empty() {
            self.body = make(std::mem::take(&mut self.body));
        }
    }

    /// Takes a body of the proxy's own away and gives its size: a HEAD gets none (RFC 9110,
    /// section 9.3.2). `None` when it is an upstream's, or empty.
    pub(crate) fn withhold(&mut self) -> Option<u64> {
        if self.upstream.is_some() || self.body.is_empty() {
            return None;
        }
        let size = http_body::Body::size_hint(&self.body).exact();
        self.body = Body::empty();
        size
    }

    /// Whether an upstream's head promised no more than has passed, though its end is still
    /// to come: an HTTP/1 client needs no more than that.
    pub(crate) fn is_whole(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.remaining == Some(0))
    }

    fn end(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.exchange.complete();
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.is_whole()
            && let Some(upstream) = self.upstream.take()
        {
            spawn_local(read_to_end(std::mem::take(&mut self.body), upstream.exchange));
        }
    }
}

/// Waits for the end of a response that is whole, so that its stream is not reset.
async fn read_to_end(mut body: Body, exchange: Exchange) {
    let end = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(LAST_FRAME, end).await;
    exchange.complete();
}

/// The length of a response's body, if its head says it.
fn promised(response: &Response<Body>, method: &Method) -> Option<u64> {
    let status = response.status();
    if *method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Some(0);
    }
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    upstream.remaining = upstream.remaining.map(|left| left.saturating_sub(length));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(upstream) = this.upstream.take() {
                    upstream.exchange.reset(&error);
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
                if expired == Expired::Response {
                    upstream.exchange.count_timeout();
                }
                this.upstream = None;
                Poll::Ready(Some(Err(match expired {
                    Expired::Response => BodyError::ResponseTimeout,
                    Expired::Idle => BodyError::StreamIdleTimeout,
                    Expired::Request => BodyError::RequestTimeout,
                    Expired::Whole => BodyError::DurationTimeout,
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
