//! What came of it, and whether it is good.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::sampler::{Gauges, Seen};
use super::setup::CONNECTOR;
use super::{CALM_PHASE, HANDOVER_PHASE, Proxy};
use crate::load_report;

/// Counters that are shown.
const SHOWN: [&str; 6] = [
    "http.http1.downstream_rq_total",
    "http.http.downstream_rq_total",
    "http.https.downstream_rq_total",
    "http.http1.downstream_cx_total",
    "tcp.tcp.downstream_cx_total",
    "tcp.tcps.downstream_cx_total",
];

/// The counter that must be exactly what the HTTP/1.1 clients have counted.
const EXACT: &str = "http.http1.downstream_rq_2xx";
const EXACT_CLIENTS: [&str; 2] = ["HTTP/1.1", "HTTP/1.1, mostly idle"];

pub(super) struct Report {
    pub(super) proxy: Proxy,
    pub(super) handovers: u32,
    /// From each request until the new proxy served.
    pub(super) took: Vec<Duration>,
    /// mesh-load's.
    pub(super) load: Value,
    pub(super) seen: Seen,
    pub(super) gauges: Gauges,
}

impl Report {
    /// # Errors
    /// Says everything that is not as it must be. A stock Envoy's counters are only shown:
    /// they begin again with each process.
    pub(super) fn verdict(&self) -> Result<()> {
        let mut wrong = Vec::new();
        if self.number("failures") + self.number("unfinished") > 0 {
            wrong.push(format!("requests failed:\n{}", load_report::failures(&self.load)));
        }
        let judged = self.proxy == Proxy::MeshProxy;
        if judged && !self.seen.fell.is_empty() {
            let first: Vec<_> = self.seen.fell.iter().take(10).collect();
            wrong.push(format!("{} counters fell, among them {first:#?}", self.seen.fell.len()));
        }
        if !self.gauges.are_true() {
            let Gauges { wrong: gauges, upstream: (gauge, kernel) } = &self.gauges;
            wrong.push(format!(
                "gauges are wrong after the end: {gauges:?}; upstream connections: {gauge} by \
                 the gauges, {kernel} by the kernel"
            ));
        }
        let (counter, clients) = self.exact();
        if judged && counter != clients {
            wrong.push(format!("{EXACT} is {counter}, the clients have counted {clients}"));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let seconds = self.load["seconds"].as_f64().unwrap_or(0.0);
        let requests = self.number("requests");
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:24} {value}");
        };
        line("handovers", format!("{} in {seconds:.0} s", self.handovers));
        line("requests", format!("{requests} ({:.0} a second)", requests as f64 / seconds));
        line("failures", self.number("failures").to_string());
        line("longest gap", self.gaps());
        let connector = self.client(CONNECTOR);
        line(
            "without an acceptor",
            format!(
                "{} of {} connections failed, one a millisecond; the longest time from one to the next: {} ms",
                count(&connector["failures"]),
                connector["connections"],
                connector["longest_connect_gap_ms"]
            ),
        );
        line("a handover took", format!("{:.0} ms at most", self.longest_handover()));
        line(
            "p99 in handovers",
            format!(
                "{:.1} ms, {:.1} ms without: ratio {:.2} (aim: 1.5)",
                self.p99(HANDOVER_PHASE),
                self.p99(CALM_PHASE),
                self.p99_ratio()
            ),
        );
        let (alone, together) = self.memory();
        line(
            "memory",
            format!(
                "one {alone:.1} MB (median), both at most {together:.1} MB: ratio {:.2} (aim: 2.2)",
                together / alone
            ),
        );
        line(
            "counters",
            format!(
                "read {} times, {} fell; {} times nobody answered",
                self.seen.samples,
                self.seen.fell.len(),
                self.seen.unanswered
            ),
        );
        for name in SHOWN {
            let of = |stats: &std::collections::BTreeMap<String, u64>| {
                stats.get(name).copied().unwrap_or(0)
            };
            line("", format!("{name} {} -> {}", of(&self.seen.first), of(&self.seen.last)));
        }
        let (counter, clients) = self.exact();
        line("", format!("{EXACT} {counter}; the clients' count {clients}"));
        let (gauge, kernel) = self.gauges.upstream;
        line(
            "gauges at the end",
            format!(
                "{} of clients are not 0; upstream connections {gauge}, by the kernel {kernel}",
                self.gauges.wrong.len()
            ),
        );
        text
    }

    pub(super) fn json(&self) -> Value {
        let (alone, together) = self.memory();
        let (counter, clients) = self.exact();
        json!({
            "handovers": self.handovers,
            "handover_ms": self.took.iter().map(Duration::as_millis).map(|ms| ms as u64).collect::<Vec<_>>(),
            "p99_ms": {"handover": self.p99(HANDOVER_PHASE), "calm": self.p99(CALM_PHASE)},
            "p99_ratio": self.p99_ratio(),
            "memory_mb": {"one": alone, "both": together},
            "counters": {
                "read": self.seen.samples,
                "unanswered": self.seen.unanswered,
                "fell": self.seen.fell,
                "before": self.seen.first,
                "after": self.seen.last,
                "exact": {"counter": counter, "clients": clients},
            },
            "gauges": {
                "wrong": self.gauges.wrong,
                "upstream_connections": self.gauges.upstream.0,
                "upstream_connections_by_kernel": self.gauges.upstream.1,
            },
            "load": self.load,
        })
    }

    fn number(&self, name: &str) -> u64 {
        self.load[name].as_u64().unwrap_or(0)
    }

    fn clients(&self) -> impl Iterator<Item = &Value> {
        self.load["clients"].as_array().into_iter().flatten()
    }

    fn client(&self, name: &str) -> &Value {
        self.clients().find(|client| client["name"] == name).unwrap_or(&Value::Null)
    }

    /// Of those that send without idling.
    fn gaps(&self) -> String {
        let gap = |client: &Value| {
            Some((client["longest_gap_ms"].as_f64()?, client["name"].as_str()?.to_owned()))
        };
        let mut gaps: Vec<_> = self.clients().filter_map(gap).collect();
        gaps.sort_by(|a, b| b.0.total_cmp(&a.0));
        let shown = gaps.iter().take(4).map(|(ms, name)| format!("{name} {ms:.0} ms"));
        shown.collect::<Vec<_>>().join(", ")
    }

    fn exact(&self) -> (u64, u64) {
        let counter = self.seen.last.get(EXACT).copied().unwrap_or(0);
        let clients =
            EXACT_CLIENTS.iter().filter_map(|name| self.client(name)["requests"].as_u64());
        (counter, clients.sum())
    }

    fn longest_handover(&self) -> f64 {
        self.took.iter().max().map_or(0.0, Duration::as_secs_f64) * 1000.0
    }

    fn p99(&self, phase: &str) -> f64 {
        self.load["phases"][phase]["p99_ms"].as_f64().unwrap_or(f64::NAN)
    }

    fn p99_ratio(&self) -> f64 {
        self.p99(HANDOVER_PHASE) / self.p99(CALM_PHASE)
    }

    /// Megabytes of one proxy (the median) and of both (the most).
    fn memory(&self) -> (f64, f64) {
        let mut alone = self.seen.alone.clone();
        alone.sort_unstable();
        let median = alone.get(alone.len() / 2).copied().unwrap_or(0);
        let most = self.seen.together.iter().max().copied().unwrap_or(0);
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        (megabytes(median), megabytes(most))
    }
}

fn count(failures: &Value) -> u64 {
    failures.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}
