//! What is counted for a listener, under Envoy's names.

use crate::config::Address;
use crate::stats::{Counter, Gauge, Registry};

/// `listener.<address>.*`
pub(super) struct Stats {
    pub(super) cx_total: Counter,
    pub(super) cx_destroy: Counter,
    pub(super) cx_active: Gauge,
    pub(super) pre_cx_active: Gauge,
    pub(super) pre_cx_timeout: Counter,
    pub(super) filter_remote_close: Counter,
    pub(super) filter_error: Counter,
    pub(super) cx_overflow: Counter,
    pub(super) global_cx_overflow: Counter,
    pub(super) no_filter_chain_match: Counter,
    pub(super) handshake_timeout: Counter,
}

impl Stats {
    pub(super) fn new(registry: &Registry, address: &Address) -> Self {
        let prefix = prefix(address);
        let counter = |name| registry.counter(&format!("{prefix}.{name}"));
        let gauge = |name| registry.gauge(&format!("{prefix}.{name}"));
        Self {
            cx_total: counter("downstream_cx_total"),
            cx_destroy: counter("downstream_cx_destroy"),
            cx_active: gauge("downstream_cx_active"),
            pre_cx_active: gauge("downstream_pre_cx_active"),
            pre_cx_timeout: counter("downstream_pre_cx_timeout"),
            filter_remote_close: counter("downstream_listener_filter_remote_close"),
            filter_error: counter("downstream_listener_filter_error"),
            cx_overflow: counter("downstream_cx_overflow"),
            global_cx_overflow: counter("downstream_global_cx_overflow"),
            no_filter_chain_match: counter("no_filter_chain_match"),
            handshake_timeout: counter("downstream_cx_transport_socket_connect_timeout"),
        }
    }
}

/// What the names of a listener's statistics begin with.
pub(super) fn prefix(address: &Address) -> String {
    format!("listener.{}", address.to_string().replace(':', "_"))
}
