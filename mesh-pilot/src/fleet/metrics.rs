use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mesh_xds::ResourceType;

/// Upper bounds in seconds; Istio's, with finer ones below.
const BOUNDS: [f64; 12] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0];

/// Counters over all proxies, by Istio's names where it has them.
#[derive(Debug, Default)]
pub struct Metrics {
    pushes: [AtomicU64; ResourceType::ALL.len()],
    rejects: [AtomicU64; ResourceType::ALL.len()],
    convergence: Histogram,
    last_rollout_micros: AtomicU64,
}

impl Metrics {
    pub(super) fn pushed(&self, resource_type: ResourceType) {
        self.pushes[resource_type as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn rejected(&self, resource_type: ResourceType) {
        self.rejects[resource_type as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn converged(&self, after: Duration) {
        self.convergence.observe(after);
    }

    pub(super) fn rolled_out(&self, after: Duration) {
        self.last_rollout_micros.store(micros(after), Relaxed);
    }

    /// In Prometheus' text format.
    pub fn render(&self, out: &mut String) {
        by_type(out, "pilot_xds_pushes", "Responses sent to proxies.", &self.pushes);
        by_type(out, "pilot_total_xds_rejects", "Responses that a proxy refused.", &self.rejects);
        self.convergence.render(
            out,
            "pilot_proxy_convergence_time",
            "Seconds from a snapshot to a proxy's last answer for it.",
        );
        let seconds = self.last_rollout_micros.load(Relaxed) as f64 / 1e6;
        gauge(
            out,
            "mesh_pilot_last_rollout_seconds",
            "Seconds from the latest completed snapshot to the last proxy's answer for it.",
            seconds,
        );
    }
}

/// Writes a gauge without labels.
pub fn gauge(out: &mut String, name: &str, help: &str, value: f64) {
    head(out, name, help, "gauge");
    let _ = writeln!(out, "{name} {value}");
}

fn by_type(
    out: &mut String,
    name: &str,
    help: &str,
    counters: &[AtomicU64; ResourceType::ALL.len()],
) {
    head(out, name, help, "counter");
    for (resource_type, counter) in ResourceType::ALL.into_iter().zip(counters) {
        let label = resource_type.to_string().to_lowercase();
        let _ = writeln!(out, "{name}{{type=\"{label}\"}} {}", counter.load(Relaxed));
    }
}

/// Writes the lines that go before a metric's values.
pub fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug, Default)]
struct Histogram {
    /// The last one has no upper bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, value: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < value.as_secs_f64());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros(value), Relaxed);
    }

    fn render(&self, out: &mut String, name: &str, help: &str) {
        head(out, name, help, "histogram");
        let mut count = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            count += bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        count += self.buckets[BOUNDS.len()].load(Relaxed);
        let sum = self.sum_micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_was_counted() {
        let metrics = Metrics::default();
        metrics.pushed(ResourceType::Route);
        metrics.rejected(ResourceType::Listener);
        for ms in [5, 30, 60_000] {
            metrics.converged(Duration::from_millis(ms));
        }
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "pilot_xds_pushes{type=\"rds\"} 1",
            "pilot_total_xds_rejects{type=\"lds\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"0.005\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"0.05\"} 2",
            "pilot_proxy_convergence_time_bucket{le=\"+Inf\"} 3",
            "pilot_proxy_convergence_time_sum 60.035",
            "pilot_proxy_convergence_time_count 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
    }
}
