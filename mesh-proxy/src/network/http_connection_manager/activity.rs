//! What a connection has to do with, and how it comes to its end.

use std::cell::Cell;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long HTTP/1 clients may go on when their connection is to end: a request that comes
/// in this time, the first one too, is answered with `Connection: close`. Closing at once
/// would cut off requests that are on their way.
const GRACE: Duration = Duration::from_secs(1);

/// Whether a connection is idle, and since when.
pub(super) struct Activity {
    active: Cell<u32>,
    last: Cell<Instant>,
    /// Speaks HTTP/2, which has its own way to say goodbye.
    is_http2: Cell<bool>,
    /// The next response of HTTP/1 is the last.
    is_leaving: Cell<bool>,
    /// How many requests came.
    requests: Cell<u32>,
    /// Told when as many have come as may.
    used_up: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            active: Cell::new(0),
            last: Cell::new(Instant::now()),
            is_http2: Cell::new(false),
            is_leaving: Cell::new(false),
            requests: Cell::new(0),
            used_up: Notify::new(),
        }
    }

    pub(super) fn set_http2(&self, is_http2: bool) {
        self.is_http2.set(is_http2);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.get()
    }

    /// A request begins. Whether it is the last: as many have come as may.
    pub(super) fn begin(&self, most: Option<u32>) -> bool {
        self.active.set(self.active.get() + 1);
        self.requests.set(self.requests.get().saturating_add(1));
        let is_last = Some(self.requests.get()) == most;
        if is_last {
            self.is_leaving.set(true);
            self.used_up.notify_one();
        }
        is_last
    }

    /// A request has ended.
    pub(super) fn end(&self) {
        self.active.set(self.active.get() - 1);
        self.last.set(Instant::now());
    }

    /// Lets an HTTP/1 client hear with a response that its connection ends.
    pub(super) async fn says_goodbye(&self) {
        if !self.is_http2.get() {
            self.is_leaving.set(true);
            tokio::time::sleep(GRACE).await;
        }
    }

    /// Waits until as many requests have come as may.
    pub(super) async fn used_up(&self) {
        self.used_up.notified().await;
    }

    /// Whether HTTP/1 is to hear with its next response that the connection ends.
    pub(super) fn ends_with_a_response(&self) -> bool {
        self.is_leaving.get() && !self.is_http2.get()
    }

    /// Waits until there was no request for so long.
    pub(super) async fn idle_for(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return pending().await };
        loop {
            let now = Instant::now();
            let from = if self.active.get() == 0 { self.last.get() } else { now };
            if from + timeout <= now {
                return;
            }
            tokio::time::sleep_until((from + timeout).into()).await;
        }
    }
}
