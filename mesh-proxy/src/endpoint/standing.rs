//! What was found out about an endpoint.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Monitor;

/// What health checks and outlier detection know of an address of a cluster, for the whole
/// process. It survives updates of both.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    flags: AtomicU8,
    /// One more than the milliseconds since the first time told; 0 for never.
    since: AtomicU64,
    monitor: OnceLock<Box<Monitor>>,
}

/// Envoy's health flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flag {
    /// Ejected by outlier detection.
    FailedOutlierCheck = 1,
    /// Health checks fail, or there was none yet.
    FailedActiveCheck = 1 << 1,
    /// It says of itself in health checks that it is degraded.
    DegradedActiveCheck = 1 << 2,
    /// There was no health check yet, and until then it is not to be counted.
    PendingActiveCheck = 1 << 3,
    /// It says in health checks that it is not to be counted.
    Excluded = 1 << 4,
    /// Its health checks do not fail, they get no answer.
    ActiveCheckTimeout = 1 << 5,
    /// Discovery has removed it, but its health checks still succeed.
    PendingRemoval = 1 << 6,
}

impl Standing {
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags.load(Relaxed) & flag as u8 != 0
    }

    /// Whether that changed it.
    pub(crate) fn set(&self, flag: Flag) -> bool {
        self.flags.fetch_or(flag as u8, Relaxed) & flag as u8 == 0
    }

    /// Whether that changed it.
    pub(crate) fn clear(&self, flag: Flag) -> bool {
        self.flags.fetch_and(!(flag as u8), Relaxed) & flag as u8 != 0
    }

    /// It became healthy now: its slow start begins.
    pub(crate) fn begin(&self) {
        let since = epoch().elapsed().as_millis() as u64;
        self.since.store(since + 1, Relaxed);
    }

    /// When it became healthy, if that is known.
    pub(crate) fn since(&self) -> Option<Instant> {
        let since = self.since.load(Relaxed).checked_sub(1)?;
        Some(epoch() + Duration::from_millis(since))
    }

    /// What outlier detection counts, made when it counts first.
    pub(crate) fn monitor(&self) -> &Monitor {
        self.monitor.get_or_init(Box::default)
    }

    /// The same, if it has counted.
    pub(crate) fn known_monitor(&self) -> Option<&Monitor> {
        self.monitor.get().map(|monitor| &**monitor)
    }
}

/// The first time that is told.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}
