//! The times that a stream may take.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::timeouts::Limits;
use super::{Downstream, Stream};
use crate::codec::Meter;

/// Which time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The route's timeout: from the end of the request to the end of the response.
    Response,
    /// The route's limit from the beginning of the request to the end of the response.
    Whole,
    /// Nothing happened on the stream.
    Idle,
    /// The connection manager's timeout: until the end of the request.
    Request,
}

/// The timers of one stream, on a single timer of the runtime, which is armed only when
/// there is something to wait for.
pub(super) struct Timers {
    response: Option<Duration>,
    whole: Option<Duration>,
    idle: Option<Duration>,
    /// For a request that has a body.
    whole_request: Option<Duration>,
    started: Instant,
    /// When something of the response came last.
    pub(super) last: Instant,
    request: Option<Rc<Meter>>,
    downstream: Rc<Downstream>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Does `work` before the request goes to the router, in the time that a stream may take.
pub(crate) async fn within_limits<T>(
    stream: &Stream,
    work: impl Future<Output = T>,
) -> Result<T, Expired> {
    Timers::new(stream, Limits::default(), stream.idle_timeout).limit(pin!(work)).await
}

impl Timers {
    /// `idle` is how long the stream may be silent.
    pub(super) fn new(stream: &Stream, limits: Limits, idle: Option<Duration>) -> Self {
        Self {
            response: limits.response,
            whole: limits.whole,
            idle,
            whole_request: stream.request_timeout.filter(|_| stream.request_meter.is_some()),
            started: stream.started,
            last: stream.started,
            request: stream.request_meter.clone(),
            downstream: Rc::clone(&stream.downstream),
            sleep: None,
        }
    }

    /// Does `work`, unless a time is up before. It is pinned where it is made: an argument of
    /// an `async fn` that is pinned in it is there twice.
    pub(super) async fn limit<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Expired> {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await
    }

    /// Ready when a time is up; otherwise wakes the task when that may be so.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let Some(mut next) = self.next(None) else { return Poll::Pending };
        let kept = self.sleep.take().or_else(|| self.downstream.timer.borrow_mut().take());
        let mut sleep = kept.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(next.into())));
        loop {
            // A timer that goes off too early costs less than one that is set anew for
            // each request.
            if sleep.deadline() > next.into() || sleep.is_elapsed() {
                sleep.as_mut().reset(next.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                self.sleep = Some(sleep);
                return Poll::Pending;
            }
            let now = Instant::now();
            if let Some(expired) = self.expired(now) {
                return Poll::Ready(expired);
            }
            let Some(later) = self.next(Some(now)) else { return Poll::Pending };
            next = later;
        }
    }

    /// When the first time may be up. The response's does not run before the request has
    /// ended; until then this is the earliest that it could be.
    fn next(&self, now: Option<Instant>) -> Option<Instant> {
        let response = self.response.map(|timeout| {
            let from = match &self.request {
                None => self.started,
                Some(meter) => meter.ended().unwrap_or_else(|| now.unwrap_or_else(Instant::now)),
            };
            from + timeout
        });
        let idle = self.idle.map(|timeout| self.last_activity() + timeout);
        let request = self.whole_request.filter(|_| !self.has_request_ended());
        let request = request.map(|timeout| self.started + timeout);
        let whole = self.whole.map(|timeout| self.started + timeout);
        [response, whole, idle, request].into_iter().flatten().min()
    }

    fn expired(&self, now: Instant) -> Option<Expired> {
        let ended = match &self.request {
            None => Some(self.started),
            Some(meter) => meter.ended(),
        };
        if let (Some(timeout), Some(ended)) = (self.response, ended)
            && ended + timeout <= now
        {
            return Some(Expired::Response);
        }
        if self.whole.is_some_and(|timeout| self.started + timeout <= now) {
            return Some(Expired::Whole);
        }
        if let Some(timeout) = self.whole_request
            && !self.has_request_ended()
            && self.started + timeout <= now
        {
            return Some(Expired::Request);
        }
        let idle = self.idle.is_some_and(|timeout| self.last_activity() + timeout <= now);
        idle.then_some(Expired::Idle)
    }

    fn has_request_ended(&self) -> bool {
        self.request.as_ref().is_none_or(|meter| meter.ended().is_some())
    }

    fn last_activity(&self) -> Instant {
        let request = self.request.as_ref().and_then(|meter| meter.last());
        request.map_or(self.last, |request| request.max(self.last))
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        // The next request of the connection takes it.
        if let Some(sleep) = self.sleep.take().filter(|sleep| !sleep.is_elapsed()) {
            *self.downstream.timer.borrow_mut() = Some(sleep);
        }
    }
}
