//! The statistics that users graph, and how far they went up.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::admin::Stats;

/// Of an HTTP listener, behind `http.PREFIX.`.
const HTTP: &[&str] = &[
    "cors.origin_invalid",
    "cors.origin_valid",
    "downstream_cx_http1_total",
    "downstream_cx_http2_total",
    "downstream_cx_idle_timeout",
    "downstream_cx_max_duration_reached",
    "downstream_cx_protocol_error",
    "downstream_cx_total",
    "downstream_cx_upgrades_total",
    "downstream_rq_1xx",
    "downstream_rq_2xx",
    "downstream_rq_3xx",
    "downstream_rq_4xx",
    "downstream_rq_5xx",
    "downstream_rq_completed",
    "downstream_rq_header_timeout",
    "downstream_rq_idle_timeout",
    "downstream_rq_max_duration_reached",
    "downstream_rq_non_relative_path",
    "downstream_rq_overload_close",
    "downstream_rq_redirected_with_normalized_path",
    "downstream_rq_rejected_via_ip_detection",
    "downstream_rq_response_before_rq_complete",
    "downstream_rq_rx_reset",
    "downstream_rq_timeout",
    "downstream_rq_too_large",
    "downstream_rq_total",
    "downstream_rq_tx_reset",
    "downstream_rq_ws_on_non_ws_route",
    "fault.aborts_injected",
    "fault.delays_injected",
    "fault.faults_overflow",
    "fault.response_rl_injected",
    "no_cluster",
    "no_route",
    "rq_direct_response",
    "rq_redirect",
    "rq_reset_after_downstream_response_started",
    "rq_total",
];

/// Of a cluster, behind `cluster.NAME.`; status codes one by one, too.
const CLUSTER: &[&str] = &[
    "circuit_breakers.default.cx_open",
    "circuit_breakers.default.rq_open",
    "circuit_breakers.default.rq_pending_open",
    "circuit_breakers.default.rq_retry_open",
    "health_check.attempt",
    "lb_healthy_panic",
    "lb_subsets_fallback",
    "lb_subsets_selected",
    "outlier_detection.ejections_active",
    "outlier_detection.ejections_detected_consecutive_5xx",
    "outlier_detection.ejections_detected_consecutive_gateway_failure",
    "outlier_detection.ejections_detected_consecutive_local_origin_failure",
    "outlier_detection.ejections_detected_failure_percentage",
    "outlier_detection.ejections_detected_success_rate",
    "outlier_detection.ejections_enforced_consecutive_5xx",
    "outlier_detection.ejections_enforced_consecutive_gateway_failure",
    "outlier_detection.ejections_enforced_total",
    "outlier_detection.ejections_overflow",
    "retry.upstream_rq_completed",
    "retry_or_shadow_abandoned",
    "upstream_cx_connect_fail",
    "upstream_cx_connect_timeout",
    "upstream_cx_none_healthy",
    "upstream_cx_overflow",
    "upstream_cx_pool_overflow",
    "upstream_cx_protocol_error",
    "upstream_rq_cancelled",
    "upstream_rq_completed",
    "upstream_rq_maintenance_mode",
    "upstream_rq_max_duration_reached",
    "upstream_rq_pending_overflow",
    "upstream_rq_pending_failure_eject",
    "upstream_rq_per_try_idle_timeout",
    "upstream_rq_per_try_timeout",
    "upstream_rq_retry",
    "upstream_rq_retry_backoff_exponential",
    "upstream_rq_retry_backoff_ratelimited",
    "upstream_rq_retry_limit_exceeded",
    "upstream_rq_retry_overflow",
    "upstream_rq_retry_success",
    "upstream_rq_rx_reset",
    "upstream_rq_timeout",
    "upstream_rq_total",
    "upstream_rq_tx_reset",
];

/// What says that something is still going on.
const ACTIVE: &[&str] = &[
    "downstream_cx_active",
    "downstream_rq_active",
    "upstream_rq_active",
    "upstream_rq_pending_active",
];

/// Whether nothing is going on.
pub(crate) fn is_quiet(stats: &Stats) -> bool {
    let is_ours = |name: &str| !name.contains("admin");
    let is_active = |name: &str| ACTIVE.iter().any(|end| name.ends_with(end));
    stats.iter().all(|(name, value)| *value == 0 || !is_active(name) || !is_ours(name))
}

/// How many connections a listener has met. One that its client has left already is accepted
/// all the same, later.
pub(crate) fn met(stats: &Stats, listener: SocketAddr) -> i64 {
    let listener = format!("listener.{}_{}.", listener.ip(), listener.port());
    let met = [
        "downstream_cx_total",
        "downstream_cx_overflow",
        "downstream_listener_filter_error",
        "no_filter_chain_match",
    ];
    met.iter().filter_map(|stat| stats.get(&format!("{listener}{stat}"))).sum()
}

/// What of the statistics counts, without what is the same as before; of the listener's those
/// with this prefix; and these more.
pub(crate) fn growth(before: &Stats, after: &Stats, prefix: &str, more: &[String]) -> Value {
    let mut grown = Map::new();
    for (name, value) in after {
        let more = || more.contains(name).then(|| name.clone());
        let Some(shown) = shown(name, prefix).or_else(more) else { continue };
        let by = value - before.get(name).copied().unwrap_or_default();
        if by != 0 {
            grown.insert(shown, json!(by));
        }
    }
    Value::Object(grown)
}

fn shown(name: &str, prefix: &str) -> Option<String> {
    if let Some(stat) = name.strip_prefix("http.").and_then(|rest| rest.strip_prefix(prefix)) {
        let stat = stat.strip_prefix('.')?;
        return HTTP.contains(&stat).then(|| format!("http.{stat}"));
    }
    if let Some(stat) = name.strip_prefix("tcp.").and_then(|rest| rest.strip_prefix(prefix)) {
        return Some(format!("tcp{stat}"));
    }
    let (_, stat) = name.strip_prefix("cluster.")?.split_once('.')?;
    let of_all = stat.strip_prefix("retry.").unwrap_or(stat);
    let is_code = of_all.strip_prefix("upstream_rq_").is_some_and(|code| {
        let code = code.as_bytes();
        code.len() == 3
            && code[0].is_ascii_digit()
            && (code[1..] == *b"xx" || code[1].is_ascii_digit())
    });
    (is_code || CLUSTER.contains(&stat)).then(|| name.to_owned())
}
