//! Waiting until what was applied is ready, with the reason why it is not yet.

mod pods;
mod probe;
mod workload;

use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use tokio::time::Instant;

use crate::{Event, Events};

pub(crate) use probe::{Lack, Outlook, Target};

/// So long what somebody has to mend may still mend itself: kubelet asks a registry again after
/// ten seconds.
pub const GRACE: Duration = Duration::from_secs(20);

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
    /// How long trouble is borne that may go away, such as a full node.
    trouble: Duration,
    /// And such as somebody has to mend.
    fault: Duration,
}

impl Patience {
    /// For everything so long, but for what waiting does not mend only `grace`.
    pub(crate) fn new(timeout: Duration, grace: Duration) -> Self {
        Self { start: Instant::now(), timeout, trouble: timeout, fault: grace }
    }

    /// With little of it for any trouble.
    pub(crate) fn short(timeout: Duration, grace: Duration) -> Self {
        Self { trouble: grace, ..Self::new(timeout, grace) }
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
        let is_same = lack.outlook == self.lack.outlook;
        let since = self.trouble_since.filter(|_| is_same).unwrap_or_else(Instant::now);
        self.trouble_since = (lack.outlook != Outlook::Good).then_some(since);
        self.lack = lack;
    }

    fn is_hopeless(&self, patience: Patience) -> bool {
        let borne = match self.lack.outlook {
            Outlook::Good => return false,
            Outlook::Trouble => patience.trouble,
            Outlook::Fault => patience.fault,
        };
        self.trouble_since.is_some_and(|since| since.elapsed() >= borne)
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
