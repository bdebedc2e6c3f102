//! Health checks that the proxy answers.

use std::time::Duration;

use crate::config::{HeaderMatch, Name};

/// Envoy's `HealthCheck`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HealthCheckFilter {
    pub(crate) mode: HealthCheckMode,
    /// What makes a request one.
    pub(crate) headers: Vec<HeaderMatch>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HealthCheckMode {
    /// `pass_through_mode`: the upstream, unless this proxy is failing; its answer is repeated
    /// for as long as `cache_time` says.
    PassThrough { cache: Option<Duration> },
    /// The proxy itself: 200 while each of these clusters has that share of healthy endpoints,
    /// in percent.
    Own { clusters: Vec<(Name, u64)> },
}
