//! When the next request is due, and whether there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When to stop.
#[derive(Default)]
pub(crate) struct Goal {
    /// Successful requests so far, of all clients.
    pub(crate) done: Arc<AtomicU64>,
    pub(crate) requests: Option<u64>,
    stop: AtomicBool,
}

impl Goal {
    pub(crate) fn new(requests: Option<u64>) -> Self {
        Self { requests, ..Self::default() }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn reached(&self) -> bool {
        let enough = |wanted| self.done.load(Ordering::Relaxed) >= wanted;
        self.stop.load(Ordering::Relaxed) || self.requests.is_some_and(enough)
    }
}

/// One client's.
pub(crate) struct Pace {
    goal: Arc<Goal>,
    period: Option<Duration>,
    due: Instant,
}

impl Pace {
    /// The `index`th of `count` clients that send `rate` requests a second together; without
    /// a rate there is always one due.
    pub(crate) fn new(goal: &Arc<Goal>, rate: Option<f64>, index: u32, count: u32) -> Self {
        let count = f64::from(count.max(1));
        let period = rate.map(|rate| Duration::from_secs_f64(count / rate));
        // Spread over the period, or all would send in the same moment.
        let offset = period.unwrap_or_default().mul_f64(f64::from(index) / count);
        Self { goal: Arc::clone(goal), period, due: now() + offset }
    }

    /// Waits until the next request is due and gives that moment, which lies in the past when
    /// the answers before it took too long: then the client's wait counts too. `None` at the
    /// end.
    pub(crate) async fn next(&mut self) -> Option<Instant> {
        let Some(period) = self.period else {
            return (!self.goal.reached()).then(now);
        };
        let due = self.due;
        self.due += period;
        tokio::time::sleep_until(due.into()).await;
        (!self.goal.reached()).then_some(due)
    }

    /// After a failure: whoever is down is not asked as fast as the machine can.
    pub(crate) async fn back_off(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// By tokio's clock, which tests can hold.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_even_when_answers_are_late() {
        let goal = Arc::new(Goal::default());
        let mut pace = Pace::new(&goal, Some(100.0), 1, 2);
        let first = pace.next().await.unwrap();
        tokio::time::sleep(Duration::from_millis(70)).await;
        let second = pace.next().await.unwrap();
        assert_eq!(second - first, Duration::from_millis(20));
        assert!(now() - second >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn it_ends_when_enough_are_done() {
        let goal = Arc::new(Goal::new(Some(2)));
        let mut pace = Pace::new(&goal, None, 0, 1);
        assert!(pace.next().await.is_some());
        goal.done.store(2, Ordering::Relaxed);
        assert!(pace.next().await.is_none());
        let goal = Arc::new(Goal::default());
        goal.stop();
        assert!(Pace::new(&goal, None, 0, 1).next().await.is_none());
    }
}
