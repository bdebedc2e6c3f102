//! Waiting until what was applied is ready, with the reason why it is not yet.

mod deployment;
mod probe;

use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use tokio::time::Instant;

use crate::{Event, Events};

pub(crate) use probe::Target;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Something was not ready in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// What.
    pub what: String,
    /// What it lacks.
    pub why: String,
}

/// Not everything was ready in time.
#[derive(Debug, thiserror::Error)]
#[error("not ready after {} s:\n{}", after.as_secs(), list(missing))]
pub struct WaitError {
    /// What is missing.
    pub missing: Vec<NotReady>,
    /// How long was waited in all.
    pub after: Duration,
}

fn list(missing: &[NotReady]) -> String {
    let lines = missing.iter().map(|NotReady { what, why }| format!("  {what}: {why}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Until when, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    start: Instant,
    timeout: Duration,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { start: Instant::now(), timeout }
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() >= self.timeout
    }
}

/// Waits until every target is ready. What the API server does not answer meanwhile is a
/// reason to go on waiting, not to end.
pub(crate) async fn until_ready(
    client: &Client,
    targets: Vec<Target>,
    patience: Patience,
    events: &Events,
) -> Result<(), WaitError> {
    let mut pending: Vec<(Target, String)> =
        targets.into_iter().map(|target| (target, String::new())).collect();
    loop {
        let states = join_all(pending.iter().map(|(target, _)| target.lacks(client))).await;
        let mut still = Vec::new();
        for ((target, told), state) in pending.into_iter().zip(states) {
            match state {
                // Deleted, as was told before.
                None if matches!(target, Target::Gone(_)) => {}
                None => events.tell(Event::Ready(target.to_string())),
                Some(why) => {
                    if why != told {
                        let what = target.to_string();
                        events.tell(Event::Waiting { what, why: why.clone() });
                    }
                    still.push((target, why));
                }
            }
        }
        pending = still;
        if pending.is_empty() {
            return Ok(());
        }
        if patience.is_over() {
            let missing =
                pending.into_iter().map(|(target, why)| NotReady { what: target.to_string(), why });
            return Err(WaitError { missing: missing.collect(), after: patience.start.elapsed() });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
