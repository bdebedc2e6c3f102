//! Circuit breakers.

/// Envoy's `RoutingPriority`: each has its own circuit breakers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RoutingPriority {
    #[default]
    Default,
    High,
}

/// `circuit_breakers`
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Breakers {
    pub(crate) default: Thresholds,
    pub(crate) high: Thresholds,
}

/// `thresholds` of one priority. Envoy's defaults are 1024, three retries, and as many
/// connection pools as there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thresholds {
    pub(crate) max_connections: u32,
    pub(crate) max_pending_requests: u32,
    pub(crate) max_requests: u32,
    pub(crate) max_retries: u32,
    /// Takes the place of `max_retries`.
    pub(crate) retry_budget: Option<RetryBudget>,
    /// Of all workers together; each has its own pools.
    pub(crate) max_connection_pools: u32,
    /// `per_host_thresholds.max_connections`
    pub(crate) max_connections_per_host: u32,
    /// How much is left is among the statistics.
    pub(crate) track_remaining: bool,
}

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RetryBudget {
    /// `budget_percent` of the requests that are active or wait; 20 by default.
    pub(crate) percent: f64,
    /// `min_retry_concurrency`, three by default.
    pub(crate) min: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
            max_retries: 3,
            retry_budget: None,
            max_connection_pools: u32::MAX,
            max_connections_per_host: u32::MAX,
            track_remaining: false,
        }
    }
}

impl Breakers {
    pub(crate) fn of(&self, priority: RoutingPriority) -> &Thresholds {
        match priority {
            RoutingPriority::Default => &self.default,
            RoutingPriority::High => &self.high,
        }
    }
}
