//! HTTP/2 streams whose client takes nothing of the response.
//!
//! No more of a body is asked for while the client gives no window, so that nothing behind
//! the codec sees the time pass.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// How a client takes the response of a stream.
#[derive(Default)]
pub(crate) struct Pace {
    limit: Cell<Option<Duration>>,
    /// Since when the codec has something that the client does not take.
    waits_since: Cell<Option<Instant>>,
    is_stalled: Cell<bool>,
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

    /// The client takes nothing from now on; `false`: it has taken something.
    pub(super) fn waits(&self, waits: bool) {
        if waits != self.waits_since.get().is_some() {
            self.waits_since.set(waits.then(Instant::now));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.waits_since.get()?.checked_add(self.limit.get()?)
    }
}

/// Polls a stream's task to its end, or until the client has taken nothing for too long.
pub(super) async fn watch(pace: &Pace, mut stream: Pin<&mut impl Future>) {
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
