//! What is counted for a cluster, under Envoy's names.

use std::sync::Arc;

use super::breaker_stats::BreakerStats;
use super::limits::Limits;
use super::retry_stats::RetryStats;
use crate::config::Breakers;
use crate::stats::{ByClass, ByCode, Counter, Gauge, Histogram, Registry};

/// `cluster.<name>.*`
pub(crate) struct ClusterStats {
    pub(crate) cx_total: Counter,
    pub(crate) cx_active: Gauge,
    pub(crate) cx_http1_total: Counter,
    pub(crate) cx_http2_total: Counter,
    pub(crate) cx_connect_fail: Counter,
    pub(crate) cx_connect_timeout: Counter,
    pub(crate) cx_destroy: Counter,
    pub(crate) cx_idle_timeout: Counter,
    pub(crate) cx_max_duration_reached: Counter,
    pub(crate) cx_max_requests: Counter,
    pub(crate) cx_none_healthy: Counter,
    pub(crate) cx_overflow: Counter,
    pub(crate) cx_pool_overflow: Counter,
    pub(crate) cx_protocol_error: Counter,
    pub(crate) rq_total: Counter,
    pub(crate) rq_active: Gauge,
    rq_by_class: ByClass,
    rq_by_code: ByCode,
    pub(crate) rq_pending_total: Counter,
    pub(crate) rq_pending_active: Gauge,
    pub(crate) rq_pending_failure_eject: Counter,
    pub(crate) rq_pending_overflow: Counter,
    pub(crate) rq_per_try_timeout: Counter,
    pub(crate) rq_retry: Counter,
    pub(crate) rq_retry_backoff_exponential: Counter,
    pub(crate) rq_retry_backoff_ratelimited: Counter,
    pub(crate) rq_retry_success: Counter,
    pub(crate) rq_retry_overflow: Counter,
    pub(crate) rq_retry_limit_exceeded: Counter,
    pub(crate) rq_rx_reset: Counter,
    pub(crate) rq_tx_reset: Counter,
    pub(crate) rq_timeout: Counter,
    /// `retry_or_shadow_abandoned`: what was too large to be kept for another try.
    pub(crate) rq_abandoned: Counter,
    pub(crate) rq_time: Histogram,
    pub(crate) lb_healthy_panic: Counter,
    retried: RetryStats,
    _breakers: BreakerStats,
}

impl ClusterStats {
    pub(super) fn new(
        registry: &Registry,
        name: &str,
        limits: &Arc<Limits>,
        breakers: &Breakers,
    ) -> Self {
        let full = |stat: &str| format!("cluster.{name}.upstream_{stat}");
        let counter = |stat| registry.counter(&full(stat));
        let gauge = |stat| registry.gauge(&full(stat));
        // The first eight made share each worker's cache line: those of every request.
        Self {
            rq_total: counter("rq_total"),
            rq_by_class: ByClass::new(registry, &full("rq")),
            rq_by_code: ByCode::new(registry, &full("rq")),
            cx_total: counter("cx_total"),
            cx_active: gauge("cx_active"),
            cx_http1_total: counter("cx_http1_total"),
            cx_http2_total: counter("cx_http2_total"),
            cx_connect_fail: counter("cx_connect_fail"),
            cx_connect_timeout: counter("cx_connect_timeout"),
            cx_destroy: counter("cx_destroy"),
            cx_idle_timeout: counter("cx_idle_timeout"),
            cx_max_duration_reached: counter("cx_max_duration_reached"),
            cx_max_requests: counter("cx_max_requests"),
            cx_none_healthy: counter("cx_none_healthy"),
            cx_overflow: counter("cx_overflow"),
            cx_pool_overflow: counter("cx_pool_overflow"),
            cx_protocol_error: counter("cx_protocol_error"),
            rq_active: gauge("rq_active"),
            rq_pending_total: counter("rq_pending_total"),
            rq_pending_active: gauge("rq_pending_active"),
            rq_pending_failure_eject: counter("rq_pending_failure_eject"),
            rq_pending_overflow: counter("rq_pending_overflow"),
            rq_per_try_timeout: counter("rq_per_try_timeout"),
            rq_retry: counter("rq_retry"),
            rq_retry_backoff_exponential: counter("rq_retry_backoff_exponential"),
            rq_retry_backoff_ratelimited: counter("rq_retry_backoff_ratelimited"),
            rq_retry_success: counter("rq_retry_success"),
            rq_retry_overflow: counter("rq_retry_overflow"),
            rq_retry_limit_exceeded: counter("rq_retry_limit_exceeded"),
            rq_rx_reset: counter("rq_rx_reset"),
            rq_tx_reset: counter("rq_tx_reset"),
            rq_timeout: counter("rq_timeout"),
            rq_abandoned: registry.counter(&format!("cluster.{name}.retry_or_shadow_abandoned")),
            rq_time: registry.histogram(&full("rq_time")),
            lb_healthy_panic: registry.counter(&format!("cluster.{name}.lb_healthy_panic")),
            retried: RetryStats::new(registry, name),
            _breakers: BreakerStats::new(registry, name, limits, breakers),
        }
    }

    /// Counts an answer that nobody gets, as its request is tried again.
    pub(crate) fn count_retried(&self, status: http::StatusCode) {
        self.retried.count(status);
    }

    /// Counts what a request to this cluster was answered with in the end, be it by an upstream
    /// or in its stead.
    pub(crate) fn count_response(&self, status: http::StatusCode) {
        self.rq_by_class.count(status);
        self.rq_by_code.count(status);
    }
}
