//! The agent's own metrics. None is named as in Prometheus' libraries (`process_…`): the
//! application has those, and nothing tells the two apart on one page.

use std::fmt::{Display, Write as _};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a failure to read `whose` metrics.
    pub(super) fn unless<T>(&self, done: anyhow::Result<T>, whose: &str) -> Option<T> {
        match done {
            Ok(value) => Some(value),
            Err(error) => {
                self.add();
                tracing::debug!("{whose} metrics are missing: {error:#}");
                None
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Own {
    pub(super) proxy_starts: Counter,
    pub(super) probe_failures: Counter,
    pub(super) proxy_scrape_failures: Counter,
    pub(super) application_scrape_failures: Counter,
}

impl Own {
    /// In Prometheus' text format, or in OpenMetrics, where a counter's name is without the
    /// `_total` of its sample.
    pub(super) fn text(&self, openmetrics: bool) -> String {
        let mut text = Text { out: String::new(), openmetrics };
        let restarts = self.proxy_starts.value().saturating_sub(1);
        let gauge = "mesh_agent_resident_memory_bytes";
        text.family(gauge, "gauge", "Memory that the agent has in RAM.");
        text.sample(gauge, "", resident_memory());
        text.counter("mesh_agent_proxy_restarts", "How often a proxy was started again.");
        text.sample("mesh_agent_proxy_restarts_total", "", restarts);
        text.counter(
            "mesh_agent_app_probe_failures",
            "Probes that the application did not answer.",
        );
        text.sample("mesh_agent_app_probe_failures_total", "", self.probe_failures.value());
        text.counter("mesh_agent_scrape_failures", "Metrics that could not be read for this page.");
        for (from, count) in [
            ("proxy", &self.proxy_scrape_failures),
            ("application", &self.application_scrape_failures),
        ] {
            let labels = format!("{{from=\"{from}\"}}");
            text.sample("mesh_agent_scrape_failures_total", &labels, count.value());
        }
        text.out
    }
}

struct Text {
    out: String,
    openmetrics: bool,
}

impl Text {
    fn counter(&mut self, name: &str, help: &str) {
        match self.openmetrics {
            true => self.family(name, "counter", help),
            false => self.family(&format!("{name}_total"), "counter", help),
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.out, "{name}{labels} {value}");
    }
}

/// Bytes; 0 when the kernel does not say.
fn resident_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        let own = Own::default();
        own.proxy_starts.add();
        own.proxy_starts.add();
        let text = own.text(false);
        assert!(text.contains("# TYPE mesh_agent_proxy_restarts_total counter\n"), "{text}");
        assert!(text.contains("\nmesh_agent_proxy_restarts_total 1\n"), "{text}");
        let open = own.text(true);
        assert!(open.contains("# TYPE mesh_agent_proxy_restarts counter\n"), "{open}");
        assert!(open.contains("\nmesh_agent_proxy_restarts_total 1\n"), "{open}");
        assert!(resident_memory() > 100_000);
    }
}
