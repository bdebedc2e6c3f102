//! HTTP/2 streams whose client takes nothing of the response.
//!
//! The codec asks for no more of a body while the client gives no window, so that nothing
//! behind it sees the time pass.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How a client takes the response of a stream.
#[derive(Default)]
pub(crate) struct Pace {
    limit: Cell<Option<Duration>>,
    /// Since when the codec has something that the client does not take.
    waits_since: Cell<Option<Instant>>,
    is_stalled: Cell<bool>,
}

/// The body of a response that notes when the codec asks for more.
pub(super) struct Paced<B> {
    body: B,
    pace: Rc<Pace>,
}

impl Pace {
    /// How long the client may take nothing until its stream is reset; for ever if not
    /// said.
    pub(crate) fn limit(&self, limit: Option<Duration>) {
        self.limit.set(limit);
    }

    /// Whether the stream was reset for this.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled.get()
    }

    fn deadline(&self) -> Option<Instant> {
        self.waits_since.get()?.checked_add(self.limit.get()?)
    }
}

/// Polls a stream's task to its end, or until the client has taken nothing for too long.
pub(super) async fn watch(pace: Rc<Pace>, stream: impl Future) {
    let mut stream = pin!(stream);
    // Made when a client first lets a stream wait.
    let mut sleep: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(deadline) = pace.deadline() else { return Poll::Pending };
        let deadline = deadline.into();
        let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        pace.is_stalled.set(true);
        Poll::Ready(())
    })
    .await;
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, pace: Rc<Pace>) -> Self {
        // The codec asks for the first part only when it may send something.
        pace.waits_since.set(Some(Instant::now()));
        Self { body, pace }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_given = matches!(&polled, Poll::Ready(Some(Ok(_))));
        self.pace.waits_since.set(is_given.then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
