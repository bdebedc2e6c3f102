//! What is counted for a connection manager, under Envoy's names.

use crate::stats::{ByClass, Counter, Gauge, Histogram, Registry};

/// `http.<stat_prefix>.*`
pub(super) struct HttpStats {
    pub(super) rq_total: Counter,
    /// Of the responses.
    pub(super) rq_by_class: ByClass,
    pub(super) rq_http1_total: Counter,
    pub(super) rq_http2_total: Counter,
    pub(super) rq_active: Gauge,
    pub(super) rq_time: Histogram,
    pub(super) rq_rx_reset: Counter,
    pub(super) rq_response_before_rq_complete: Counter,
    pub(super) rq_non_relative_path: Counter,
    pub(super) rq_tx_reset: Counter,
    pub(super) rq_idle_timeout: Counter,
    pub(super) rq_max_duration_reached: Counter,
    pub(super) rq_timeout: Counter,
    pub(super) rq_header_timeout: Counter,
    pub(super) rq_too_large: Counter,
    pub(super) rq_ws_on_non_ws_route: Counter,
    pub(super) rq_failed_path_normalization: Counter,
    pub(super) rq_redirected_with_normalized_path: Counter,
    pub(super) no_route: Counter,
    pub(super) no_cluster: Counter,
    /// Requests that came to the router.
    pub(super) router_total: Counter,
    pub(super) direct_response: Counter,
    pub(super) cx_total: Counter,
    pub(super) cx_active: Gauge,
    pub(super) cx_http1_total: Counter,
    pub(super) cx_http1_active: Gauge,
    pub(super) cx_http2_total: Counter,
    pub(super) cx_http2_active: Gauge,
    pub(super) cx_upgrades_total: Counter,
    pub(super) cx_upgrades_active: Gauge,
    pub(super) cx_destroy: Counter,
    pub(super) cx_drain_close: Counter,
    pub(super) cx_idle_timeout: Counter,
    pub(super) cx_max_duration_reached: Counter,
    pub(super) cx_max_requests_reached: Counter,
    pub(super) cx_length_ms: Histogram,
    pub(super) cx_protocol_error: Counter,
}

impl HttpStats {
    pub(super) fn new(registry: &Registry, prefix: &str) -> Self {
        let full = |stat: &str| format!("http.{prefix}.{stat}");
        let counter = |stat: &str| registry.counter(&full(&format!("downstream_{stat}")));
        let gauge = |stat: &str| registry.gauge(&full(&format!("downstream_{stat}")));
        let histogram = |stat: &str| registry.histogram(&full(&format!("downstream_{stat}")));
        // The first eight made share each worker's cache line: those of every request.
        Self {
            rq_total: counter("rq_total"),
            rq_http1_total: counter("rq_http1_total"),
            rq_by_class: ByClass::new(registry, &full("downstream_rq")),
            rq_http2_total: counter("rq_http2_total"),
            rq_active: gauge("rq_active"),
            rq_time: histogram("rq_time"),
            rq_rx_reset: counter("rq_rx_reset"),
            rq_response_before_rq_complete: counter("rq_response_before_rq_complete"),
            rq_non_relative_path: counter("rq_non_relative_path"),
            rq_tx_reset: counter("rq_tx_reset"),
            rq_idle_timeout: counter("rq_idle_timeout"),
            rq_max_duration_reached: counter("rq_max_duration_reached"),
            rq_timeout: counter("rq_timeout"),
            rq_header_timeout: counter("rq_header_timeout"),
            rq_too_large: counter("rq_too_large"),
            rq_ws_on_non_ws_route: counter("rq_ws_on_non_ws_route"),
            rq_failed_path_normalization: counter("rq_failed_path_normalization"),
            rq_redirected_with_normalized_path: counter("rq_redirected_with_normalized_path"),
            no_route: registry.counter(&full("no_route")),
            no_cluster: registry.counter(&full("no_cluster")),
            router_total: registry.counter(&full("rq_total")),
            direct_response: registry.counter(&full("rq_direct_response")),
            cx_total: counter("cx_total"),
            cx_active: gauge("cx_active"),
            cx_http1_total: counter("cx_http1_total"),
            cx_http1_active: gauge("cx_http1_active"),
            cx_http2_total: counter("cx_http2_total"),
            cx_http2_active: gauge("cx_http2_active"),
            cx_upgrades_total: counter("cx_upgrades_total"),
            cx_upgrades_active: gauge("cx_upgrades_active"),
            cx_destroy: counter("cx_destroy"),
            cx_drain_close: counter("cx_drain_close"),
            cx_idle_timeout: counter("cx_idle_timeout"),
            cx_max_duration_reached: counter("cx_max_duration_reached"),
            cx_max_requests_reached: counter("cx_max_requests_reached"),
            cx_length_ms: histogram("cx_length_ms"),
            cx_protocol_error: counter("cx_protocol_error"),
        }
    }
}
