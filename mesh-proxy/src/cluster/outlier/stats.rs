//! What is counted of outlier detection, under Envoy's names.

use crate::endpoint::Reason;
use crate::stats::{Counter, Level, Registry};

/// `cluster.<name>.outlier_detection.*`
pub(super) struct OutlierStats {
    pub(super) active: Level,
    pub(super) enforced_total: Counter,
    pub(super) overflow: Counter,
    /// Deprecated in Envoy, and still told.
    total: Counter,
    consecutive_5xx: Counter,
    success_rate: Counter,
    detected: [Counter; 7],
    enforced: [Counter; 7],
}

const REASONS: [&str; 7] = [
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "success_rate",
    "local_origin_success_rate",
    "failure_percentage",
    "local_origin_failure_percentage",
];

impl OutlierStats {
    pub(super) fn new(registry: &Registry, cluster: &str) -> Self {
        let full = |stat: &str| format!("cluster.{cluster}.outlier_detection.ejections_{stat}");
        let counter = |stat: &str| registry.counter(&full(stat));
        Self {
            active: registry.level(&full("active")),
            enforced_total: counter("enforced_total"),
            overflow: counter("overflow"),
            total: counter("total"),
            consecutive_5xx: counter("consecutive_5xx"),
            success_rate: counter("success_rate"),
            detected: REASONS.map(|reason| counter(&format!("detected_{reason}"))),
            enforced: REASONS.map(|reason| counter(&format!("enforced_{reason}"))),
        }
    }

    pub(super) fn count_detected(&self, reason: Reason) {
        self.detected[reason as usize].inc();
        match reason {
            Reason::Consecutive5xx => self.consecutive_5xx.inc(),
            Reason::SuccessRate | Reason::LocalSuccessRate => self.success_rate.inc(),
            _ => {}
        }
    }

    /// There is room for another one that is ejected.
    pub(super) fn count_wanted(&self, reason: Reason) {
        if matches!(reason, Reason::Consecutive5xx | Reason::SuccessRate) {
            self.total.inc();
        }
    }

    pub(super) fn count_enforced(&self, reason: Reason) {
        self.enforced_total.inc();
        self.enforced[reason as usize].inc();
    }
}
