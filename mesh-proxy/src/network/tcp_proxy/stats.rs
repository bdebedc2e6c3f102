//! What is counted for a TCP proxy, under Envoy's names.

use crate::stats::{Counter, Registry};

/// `tcp.<stat_prefix>.*`
pub(super) struct Stats {
    pub(super) cx_total: Counter,
    pub(super) cx_no_route: Counter,
    pub(super) rx_bytes: Counter,
    pub(super) tx_bytes: Counter,
    pub(super) idle_timeout: Counter,
    pub(super) max_duration: Counter,
}

impl Stats {
    pub(super) fn new(registry: &Registry, prefix: &str) -> Self {
        let counter = |name| registry.counter(&format!("tcp.{prefix}.{name}"));
        Self {
            cx_total: counter("downstream_cx_total"),
            cx_no_route: counter("downstream_cx_no_route"),
            rx_bytes: counter("downstream_cx_rx_bytes_total"),
            tx_bytes: counter("downstream_cx_tx_bytes_total"),
            idle_timeout: counter("idle_timeout"),
            max_duration: counter("max_downstream_connection_duration"),
        }
    }
}
