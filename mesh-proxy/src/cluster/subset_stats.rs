//! What is counted of choices by subset, under Envoy's names.

use super::Cluster;
use crate::load_balancer::Way;
use crate::stats::{Counter, Level};

/// `cluster.<name>.lb_subsets_*`
pub(super) struct SubsetStats {
    pub(super) active: Level,
    selected: Counter,
    fallback: Counter,
    fallback_panic: Counter,
}

impl SubsetStats {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let full = |stat| format!("cluster.{}.lb_subsets_{stat}", cluster.config.stat_name);
        let counter = |stat| cluster.registry.counter(&full(stat));
        let active = cluster.registry.level(&full("active"));
        active.set(cluster.members.load().balance.subsets().unwrap_or_default());
        Self {
            active,
            selected: counter("selected"),
            fallback: counter("fallback"),
            fallback_panic: counter("fallback_panic"),
        }
    }

    pub(super) fn count(&self, way: Way) {
        match way {
            Way::Selected => self.selected.inc(),
            Way::Fallback => self.fallback.inc(),
            Way::Panic => self.fallback_panic.inc(),
        }
    }
}
