//! Medians, ratios, and how they are shown.

use std::fmt;

use serde_json::{Value, json};

use super::client::{Load, Workload};
use crate::process::Usage;

/// What the others are compared with.
pub(super) const REFERENCE: &str = "envoy";

/// One measurement of one proxy.
pub(super) struct Measured {
    proxy: &'static str,
    workload: Workload,
    numbers: Numbers,
}

/// The numbers of a measurement, or their medians.
#[derive(Clone, Copy)]
struct Numbers {
    /// Microseconds of the proxy's CPU time for a request.
    cpu: f64,
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Megabytes (2^20) of resident memory under load.
    resident: f64,
}

impl Measured {
    pub(super) fn new(
        proxy: &'static str,
        workload: Workload,
        load: &Load,
        before: &Usage,
        after: &Usage,
    ) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
        let numbers = Numbers {
            cpu: cpu / load.requests as f64,
            per_second: load.per_second,
            p50: load.p50,
            p99: load.p99,
            resident: after.resident as f64 / f64::from(1 << 20),
        };
        Self { proxy, workload, numbers }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, cpu) = (self.workload.name(), self.numbers.cpu);
        write!(f, "{name}, {}: {cpu:.1} µs a request", self.proxy)
    }
}

/// The medians of one proxy for one workload.
struct Row {
    proxy: &'static str,
    workload: Workload,
    rounds: usize,
    median: Numbers,
    /// Its CPU time and requests per second as multiples of the reference's.
    ratios: Option<(f64, f64)>,
}

fn rows(measured: &[Measured]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for workload in Workload::ALL {
        let here = || measured.iter().filter(move |one| one.workload == workload);
        let reference = medians(here().filter(|one| one.proxy == REFERENCE));
        for one in here() {
            if rows.iter().any(|row| row.workload == workload && row.proxy == one.proxy) {
                continue;
            }
            let same: Vec<_> = here().filter(|other| other.proxy == one.proxy).collect();
            let Some(median) = medians(same.iter().copied()) else { continue };
            let ratios = reference.map(|reference| {
                (median.cpu / reference.cpu, median.per_second / reference.per_second)
            });
            rows.push(Row { proxy: one.proxy, workload, rounds: same.len(), median, ratios });
        }
    }
    rows
}

fn medians<'a>(measured: impl Iterator<Item = &'a Measured>) -> Option<Numbers> {
    let all: Vec<Numbers> = measured.map(|one| one.numbers).collect();
    let of = |number: fn(&Numbers) -> f64| median(all.iter().map(number).collect());
    Some(Numbers {
        cpu: of(|n| n.cpu)?,
        per_second: of(|n| n.per_second)?,
        p50: of(|n| n.p50)?,
        p99: of(|n| n.p99)?,
        resident: of(|n| n.resident)?,
    })
}

pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Lines for a terminal.
pub(super) fn table(measured: &[Measured]) -> String {
    let mut text = String::new();
    let mut last = None;
    for row in rows(measured) {
        if last != Some(row.workload) {
            last = Some(row.workload);
            text += &format!(
                "\n{} (medians of {})\n{:12} {:>10} {:>9} {:>8} {:>8} {:>7} {:>10} {:>10}\n",
                row.workload.name(),
                row.rounds,
                "proxy",
                "CPU µs/req",
                "req/s",
                "p50 ms",
                "p99 ms",
                "RSS MB",
                "CPU ratio",
                "rps ratio"
            );
        }
        let n = row.median;
        let (cpu, rps) = row.ratios.unwrap_or((f64::NAN, f64::NAN));
        text += &format!(
            "{:12} {:>10.1} {:>9.0} {:>8.2} {:>8.2} {:>7.1} {:>10.2} {:>10.2}\n",
            row.proxy, n.cpu, n.per_second, n.p50, n.p99, n.resident, cpu, rps
        );
    }
    text + &format!("\nRatios are to {REFERENCE}, of this run.\n")
}

/// The same for programs.
pub(super) fn json(measured: &[Measured]) -> Value {
    let one = |row: Row| {
        let n = row.median;
        json!({
            "workload": row.workload.name(),
            "proxy": row.proxy,
            "rounds": row.rounds,
            "cpu_us_per_request": n.cpu,
            "requests_per_second": n.per_second,
            "p50_ms": n.p50,
            "p99_ms": n.p99,
            "resident_mb": n.resident,
            "cpu_ratio": row.ratios.map(|ratios| ratios.0),
            "requests_per_second_ratio": row.ratios.map(|ratios| ratios.1),
        })
    };
    rows(measured).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(proxy: &'static str, cpu: f64) -> Measured {
        let numbers = Numbers { cpu, per_second: 1e6 / cpu, p50: 1.0, p99: 2.0, resident: 10.0 };
        Measured { proxy, workload: Workload::Http1, numbers }
    }

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
        let measured =
            [one("envoy", 30.0), one("mesh-proxy", 15.0), one("envoy", 20.0), one("envoy", 90.0)];
        let rows = rows(&measured);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].proxy, rows[0].median.cpu, rows[0].rounds), ("envoy", 30.0, 3));
        assert_eq!(rows[1].ratios.unwrap().0, 0.5);
        assert!(table(&measured).contains("0.50"));
    }
}
