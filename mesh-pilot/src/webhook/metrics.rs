use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::review::Decision;
use crate::fleet::head;

/// What the webhooks have answered, by Istio's names.
#[derive(Default)]
pub struct Metrics {
    injected: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    valid: AtomicU64,
    invalid: AtomicU64,
}

impl Metrics {
    pub(super) fn inject(&self, decision: &Decision) {
        let counter = match decision {
            Decision { refusal: Some(_), .. } => &self.failed,
            Decision { patch, .. } if patch.is_empty() => &self.skipped,
            Decision { .. } => &self.injected,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn validate(&self, decision: &Decision) {
        let counter = if decision.refusal.is_none() { &self.valid } else { &self.invalid };
        counter.fetch_add(1, Relaxed);
    }

    /// In Prometheus' text format.
    pub fn render(&self, out: &mut String) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let [injected, skipped, failed] = [&self.injected, &self.skipped, &self.failed].map(get);
        let requests = injected + skipped + failed;
        for (name, help, value) in [
            ("sidecar_injection_requests_total", "Pods that were asked about.", requests),
            ("sidecar_injection_success_total", "Pods that got a sidecar.", injected),
            ("sidecar_injection_skip_total", "Pods that were left as they are.", skipped),
            ("sidecar_injection_failure_total", "Pods that were refused.", failed),
            ("galley_validation_passed", "Rules that were let in.", get(&self.valid)),
            ("galley_validation_failed", "Rules that were refused.", get(&self.invalid)),
        ] {
            head(out, name, help, "counter");
            let _ = writeln!(out, "{name} {value}");
        }
    }
}
