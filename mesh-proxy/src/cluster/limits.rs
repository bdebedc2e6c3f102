//! Circuit breakers: how much of a cluster may be in use at once, in the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::Cluster;
use crate::config::{RetryBudget, RoutingPriority, Thresholds};
use crate::endpoint::Endpoint;

/// What is in use. Each is one relaxed atomic, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    default: InUse,
    high: InUse,
}

/// By requests of one priority.
#[derive(Debug, Default)]
pub(super) struct InUse {
    pub(super) connections: AtomicU32,
    pub(super) pools: AtomicU32,
    pub(super) pending: AtomicU32,
    pub(super) requests: AtomicU32,
    pub(super) retries: AtomicU32,
}

/// A limit is reached: Envoy's response flag UO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// One unit of a limit, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<Limits>,
    priority: RoutingPriority,
    of: fn(&InUse) -> &AtomicU32,
}

impl Limits {
    pub(super) fn of(&self, priority: RoutingPriority) -> &InUse {
        match priority {
            RoutingPriority::Default => &self.default,
            RoutingPriority::High => &self.high,
        }
    }
}

impl Cluster {
    /// Counts a connection to an endpoint against `max_connections`, and those that the
    /// endpoint has against its own limit. With `always` it is counted but not refused: a
    /// worker without any connection must be able to have one.
    pub(crate) fn permit_connection(
        &self,
        endpoint: &Endpoint,
        priority: RoutingPriority,
        always: bool,
    ) -> Result<Permit, Overflow> {
        let thresholds = self.thresholds(priority);
        let of_host = thresholds.max_connections_per_host;
        if !always && endpoint.stats.cx_active.load(Relaxed) >= of_host.into() {
            return Err(Overflow);
        }
        let max = if always { u32::MAX } else { thresholds.max_connections };
        self.permit(priority, |in_use| &in_use.connections, max)
    }

    /// Counts a worker's pool of connections against `max_connection_pools`.
    pub(crate) fn permit_pool(&self, priority: RoutingPriority) -> Result<Permit, Overflow> {
        let max = self.thresholds(priority).max_connection_pools;
        self.permit(priority, |in_use| &in_use.pools, max)
    }

    /// Counts a request that waits for a connection against `max_pending_requests`.
    pub(crate) fn permit_pending(&self, priority: RoutingPriority) -> Result<Permit, Overflow> {
        let max = self.thresholds(priority).max_pending_requests;
        self.permit(priority, |in_use| &in_use.pending, max)
    }

    /// Counts a request against `max_requests`.
    pub(crate) fn permit_request(&self, priority: RoutingPriority) -> Result<Permit, Overflow> {
        let max = self.thresholds(priority).max_requests;
        self.permit(priority, |in_use| &in_use.requests, max)
    }

    /// Counts a retry against `retry_budget`, or else `max_retries`.
    pub(crate) fn permit_retry(&self, priority: RoutingPriority) -> Result<Permit, Overflow> {
        let Thresholds { retry_budget, max_retries, .. } = self.thresholds(priority);
        let in_use = self.limits.of(priority);
        let max = retry_budget.map_or(*max_retries, |budget| budget.limit(in_use));
        self.permit(priority, |in_use| &in_use.retries, max)
    }

    fn permit(
        &self,
        priority: RoutingPriority,
        of: fn(&InUse) -> &AtomicU32,
        max: u32,
    ) -> Result<Permit, Overflow> {
        let in_use = of(self.limits.of(priority));
        // Counted first: two workers that come at once never both take the last unit.
        if in_use.fetch_add(1, Relaxed) >= max {
            in_use.fetch_sub(1, Relaxed);
            return Err(Overflow);
        }
        Ok(Permit { limits: Arc::clone(&self.limits), priority, of })
    }
}

impl RetryBudget {
    fn limit(&self, in_use: &InUse) -> u32 {
        let active = in_use.requests.load(Relaxed) + in_use.pending.load(Relaxed);
        let share = (self.percent / 100.0 * f64::from(active)) as u32;
        share.max(self.min)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.of)(self.limits.of(self.priority)).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_follows_the_requests() {
        let in_use = InUse::default();
        let budget = RetryBudget { percent: 25.0, min: 2 };
        assert_eq!(budget.limit(&in_use), 2);
        in_use.requests.store(30, Relaxed);
        in_use.pending.store(10, Relaxed);
        assert_eq!(budget.limit(&in_use), 10);
    }
}
