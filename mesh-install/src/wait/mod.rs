//! Waiting until what was applied is ready, with the reason why it is not yet.

mod probe;
mod workload;

use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use tokio::time::Instant;

use crate::{Event, Events};

pub(crate) use probe::{Lack, Target};
pub(crate) use workload::selector;

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
    /// How long trouble is borne that does not go away.
    trouble: Duration,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { start: Instant::now(), timeout, trouble: timeout }
    }

    /// With little of it for what waiting does not mend.
    pub(crate) fn short(timeout: Duration, trouble: Duration) -> Self {
        Self { trouble, ..Self::new(timeout) }
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() >= self.timeout
    }
}

/// What is waited for, and what was told of it last.
struct Pending {
    target: Target,
    lack: Lack,
    trouble_since: Option<Instant>,
}

impl Pending {
    fn new(target: Target) -> Self {
        Self { target, lack: Lack::default(), trouble_since: None }
    }

    fn still(&mut self, lack: Lack, events: &Events) {
        if lack.why != self.lack.why {
            let what = self.target.to_string();
            events.tell(Event::Waiting { what, why: lack.why.clone() });
        }
        self.trouble_since =
            lack.is_trouble.then(|| self.trouble_since.unwrap_or_else(Instant::now));
        self.lack = lack;
    }

    fn is_hopeless(&self, patience: Patience) -> bool {
        self.trouble_since.is_some_and(|since| since.elapsed() >= patience.trouble)
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
    let mut pending: Vec<_> = targets.into_iter().map(Pending::new).collect();
    loop {
        let lacks = join_all(pending.iter().map(|one| one.target.lacks(client))).await;
        let mut still = Vec::new();
        for (mut one, lack) in pending.into_iter().zip(lacks) {
            match lack {
                Some(lack) => {
                    one.still(lack, events);
                    still.push(one);
                }
                // Deleted, as was told before.
                None if matches!(one.target, Target::Gone(_)) => {}
                None => events.tell(Event::Ready(one.target.to_string())),
            }
        }
        pending = still;
        if pending.is_empty() {
            return Ok(());
        }
        if patience.is_over() || pending.iter().any(|one| one.is_hopeless(patience)) {
            let missing = pending
                .into_iter()
                .map(|one| NotReady { what: one.target.to_string(), why: one.lack.why });
            return Err(WaitError { missing: missing.collect(), after: patience.start.elapsed() });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
