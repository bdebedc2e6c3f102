//! What is counted of the listeners as a whole, under Envoy's names.

use crate::stats::{Counter, Gauge, Level, Registry};

/// `listener_manager.*`
pub(super) struct Stats {
    pub(super) added: Counter,
    pub(super) modified: Counter,
    pub(super) removed: Counter,
    pub(super) create_failure: Counter,
    pub(super) active: Level,
    /// Here: how many times filter chains are being drained at the moment.
    pub(super) draining: Gauge,
}

impl Stats {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name| registry.counter(&format!("listener_manager.{name}"));
        let gauge = |name| registry.gauge(&format!("listener_manager.{name}"));
        Self {
            added: counter("listener_added"),
            modified: counter("listener_modified"),
            removed: counter("listener_removed"),
            create_failure: counter("listener_create_failure"),
            active: registry.level("listener_manager.total_listeners_active"),
            draining: gauge("total_listeners_draining"),
        }
    }
}
