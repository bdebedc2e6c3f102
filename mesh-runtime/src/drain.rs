//! One way to end for the whole program: asked once, awaited once.
//!
//! [`channel`] makes a [`Trigger`], kept by whoever decides to end, and a [`Watcher`],
//! cloned into every task that must end well. The drain is complete when each watcher
//! is dropped, so a task keeps its watcher for exactly as long as it has work in hand.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How long watchers have to be dropped once everything is to be.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Finish what is in flight, take nothing new.
    Graceful,
    /// Drop everything.
    Immediate,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Watchers are told one after the other, between `from` and `over` later.
    Gradual {
        from: Instant,
        over: Duration,
    },
    Begun(Mode),
}

/// Starts the drain and waits for its end.
pub struct Trigger {
    phase: watch::Sender<Phase>,
    alive: mpsc::Receiver<()>,
}

/// Tells a task that the drain has begun; the drain waits until it is dropped.
#[derive(Clone)]
pub struct Watcher {
    phase: watch::Receiver<Phase>,
    // Never sent on: its being dropped is the message.
    _alive: mpsc::Sender<()>,
}

/// A connected pair.
pub fn channel() -> (Trigger, Watcher) {
    let (phase_tx, phase_rx) = watch::channel(Phase::Open);
    let (alive_tx, alive_rx) = mpsc::channel(1);
    (Trigger { phase: phase_tx, alive: alive_rx }, Watcher { phase: phase_rx, _alive: alive_tx })
}

impl Trigger {
    /// Begins a graceful drain without waiting for its end; [`Trigger::drain`] waits.
    pub fn begin(&self) {
        self.phase.send_replace(Phase::Begun(Mode::Graceful));
    }

    /// Begins a drain that reaches the watchers one after the other, the last one when
    /// `over` has passed; see [`Watcher::begun_at`]. Until then [`Trigger::call_off`] takes
    /// it back. Does nothing when a drain has begun.
    pub fn begin_over(&self, over: Duration) {
        let gradual = Phase::Gradual { from: Instant::now(), over };
        self.phase.send_if_modified(|phase| {
            let is_open = *phase == Phase::Open;
            if is_open {
                *phase = gradual;
            }
            is_open
        });
    }

    /// Takes [`Trigger::begin_over`] back. Watchers that were told so far cannot be told
    /// otherwise.
    pub fn call_off(&self) {
        self.phase.send_if_modified(|phase| {
            let is_gradual = matches!(phase, Phase::Gradual { .. });
            if is_gradual {
                *phase = Phase::Open;
            }
            is_gradual
        });
    }

    /// [`Trigger::drain_until`] `deadline` has passed.
    pub async fn drain(self, deadline: Duration) -> bool {
        self.drain_until(tokio::time::sleep(deadline)).await
    }

    /// Drains gracefully until every watcher is dropped or `end` is over; then immediately,
    /// and waits for the watchers one more second at most. Gives `true` when all ended by
    /// themselves.
    pub async fn drain_until(mut self, end: impl Future<Output = ()>) -> bool {
        self.begin();
        tokio::select! {
            biased;
            _ = self.alive.recv() => return true,
            () = end => {}
        }
        let _ = tokio::time::timeout(LAST_WORDS, self.abort()).await;
        false
    }

    /// Ends everything at once and waits until every watcher is dropped.
    pub async fn abort(mut self) {
        self.phase.send_replace(Phase::Begun(Mode::Immediate));
        self.alive.recv().await;
    }
}

impl Watcher {
    /// Waits until the drain begins, and gives its mode; at once when it has begun. Of a
    /// gradual drain this is the end. Cancel-safe. A dropped trigger counts as
    /// [`Mode::Immediate`].
    pub async fn begun(&mut self) -> Mode {
        self.begun_at(1.0).await
    }

    /// The same for one of many watchers: a gradual drain begins for it when `share` of its
    /// time has passed, which is between 0 and 1. Drawn evenly at random, the shares spread
    /// the watchers over that time.
    pub async fn begun_at(&mut self, share: f64) -> Mode {
        loop {
            let phase = *self.phase.borrow_and_update();
            let at = match phase {
                Phase::Begun(mode) => return mode,
                Phase::Gradual { from, over } => Some(from + over.mul_f64(share.clamp(0.0, 1.0))),
                Phase::Open => None,
            };
            let turn = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.phase.changed() => if changed.is_err() { return Mode::Immediate },
                () = turn => return Mode::Graceful,
            }
        }
    }

    /// Waits until what is in flight must be dropped too. Cancel-safe.
    pub async fn immediate(&mut self) {
        // A closed channel means that the trigger is gone, and with it the program.
        let _ = self.phase.wait_for(|phase| *phase == Phase::Begun(Mode::Immediate)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn completes_when_the_last_watcher_is_dropped() {
        let (trigger, mut watcher) = channel();
        let task = tokio::spawn(async move { watcher.begun().await });
        assert!(trigger.drain(Duration::from_secs(5)).await);
        assert_eq!(task.await.unwrap(), Mode::Graceful);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_immediate_at_the_deadline() {
        let (trigger, mut watcher) = channel();
        let task = tokio::spawn(async move {
            watcher.begun().await;
            watcher.immediate().await;
            // What is dropped may still have something to put down.
            tokio::time::sleep(Duration::from_millis(1)).await;
        });
        assert!(!trigger.drain(Duration::from_secs(5)).await);
        assert!(task.is_finished());
    }

    #[tokio::test]
    async fn abort_skips_the_graceful_part() {
        let (trigger, mut watcher) = channel();
        let task = tokio::spawn(async move { watcher.begun().await });
        trigger.abort().await;
        assert_eq!(task.await.unwrap(), Mode::Immediate);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gradual_drain_reaches_each_at_its_share() {
        let (trigger, watcher) = channel();
        let begun = |share: f64| {
            let mut watcher = watcher.clone();
            tokio::spawn(async move { watcher.begun_at(share).await })
        };
        let (early, late) = (begun(0.2), begun(0.8));
        trigger.begin_over(Duration::from_secs(100));
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert!(early.is_finished() && !late.is_finished());
        // Called off, and begun anew: counted from then.
        trigger.call_off();
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(!late.is_finished());
        trigger.begin_over(Duration::from_secs(100));
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert!(!late.is_finished());
        assert_eq!(late.await.unwrap(), Mode::Graceful);
        let last = begun(1.0);
        trigger.begin();
        assert_eq!(last.await.unwrap(), Mode::Graceful);
        trigger.call_off();
        assert_eq!(begun(1.0).await.unwrap(), Mode::Graceful);
    }
}
