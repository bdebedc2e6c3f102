//! One way to end for the whole program: asked once, awaited once.
//!
//! [`channel`] makes a [`Trigger`], kept by whoever decides to end, and a [`Watcher`],
//! cloned into every task that must end well. The drain is complete when each watcher
//! is dropped, so a task keeps its watcher for exactly as long as it has work in hand.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

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

/// Starts the drain and waits for its end.
pub struct Trigger {
    mode: watch::Sender<Option<Mode>>,
    alive: mpsc::Receiver<()>,
}

/// Tells a task that the drain has begun; the drain waits until it is dropped.
#[derive(Clone)]
pub struct Watcher {
    mode: watch::Receiver<Option<Mode>>,
    // Never sent on: its being dropped is the message.
    _alive: mpsc::Sender<()>,
}

/// A connected pair.
pub fn channel() -> (Trigger, Watcher) {
    let (mode_tx, mode_rx) = watch::channel(None);
    let (alive_tx, alive_rx) = mpsc::channel(1);
    (Trigger { mode: mode_tx, alive: alive_rx }, Watcher { mode: mode_rx, _alive: alive_tx })
}

impl Trigger {
    /// Begins a graceful drain without waiting for its end; [`Trigger::drain`] waits.
    pub fn begin(&self) {
        self.mode.send_replace(Some(Mode::Graceful));
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
        self.mode.send_replace(Some(Mode::Immediate));
        self.alive.recv().await;
    }
}

impl Watcher {
    /// Waits until the drain begins, and gives its mode; at once when it has begun.
    /// Cancel-safe. A dropped trigger counts as [`Mode::Immediate`].
    pub async fn begun(&mut self) -> Mode {
        match self.mode.wait_for(Option::is_some).await {
            Ok(mode) => mode.unwrap_or(Mode::Immediate),
            Err(_) => Mode::Immediate,
        }
    }

    /// Waits until what is in flight must be dropped too. Cancel-safe.
    pub async fn immediate(&mut self) {
        // A closed channel means that the trigger is gone, and with it the program.
        let _ = self.mode.wait_for(|mode| *mode == Some(Mode::Immediate)).await;
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
}
