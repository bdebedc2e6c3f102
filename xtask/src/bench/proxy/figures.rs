//! Medians, ratios, and how they are shown.

use std::fmt;

use serde_json::{Value, json};

use super::case::{CASES, Case};
use crate::bench::client::Load;
use crate::bench::report::{REFERENCE, median};
use crate::process::Usage;

/// One measurement of one proxy.
pub(super) struct Measured {
    pub(super) case: &'static Case,
    pub(super) proxy: &'static str,
    pub(super) numbers: Numbers,
}

/// The numbers of a measurement, or their medians.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// `None` where only memory is measured.
    load: Option<LoadNumbers>,
    /// Megabytes (2^20) of resident memory.
    resident: f64,
}

#[derive(Clone, Copy)]
struct LoadNumbers {
    /// Microseconds of the proxy's CPU time for a request.
    cpu: f64,
    per_second: f64,
    /// In milliseconds.
    p50: f64,
    /// In milliseconds.
    p99: f64,
}

impl Numbers {
    pub(super) fn of_load(load: &Load, before: &Usage, after: &Usage) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
        let load = LoadNumbers {
            cpu: cpu / load.requests as f64,
            per_second: load.per_second,
            p50: load.p50,
            p99: load.p99,
        };
        Self { load: Some(load), ..Self::of_rest(after) }
    }

    pub(super) fn of_rest(usage: &Usage) -> Self {
        Self { load: None, resident: usage.resident as f64 / f64::from(1 << 20) }
    }

    fn medians(all: &[Self]) -> Option<Self> {
        let loads: Vec<LoadNumbers> = all.iter().filter_map(|one| one.load).collect();
        let of = |number: fn(&LoadNumbers) -> f64| median(loads.iter().map(number).collect());
        let load = || {
            Some(LoadNumbers {
                cpu: of(|n| n.cpu)?,
                per_second: of(|n| n.per_second)?,
                p50: of(|n| n.p50)?,
                p99: of(|n| n.p99)?,
            })
        };
        let resident = median(all.iter().map(|one| one.resident).collect())?;
        Some(Self { load: load(), resident })
    }

    /// What the case is about: CPU time, or memory.
    fn main(&self) -> f64 {
        self.load.map_or(self.resident, |load| load.cpu)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.numbers.load.is_some() { "µs of CPU a request" } else { "MB" };
        let (title, main) = (self.case.title, self.numbers.main());
        write!(f, "{title}, {}: {main:.1} {unit}", self.proxy)
    }
}

/// The medians of one proxy for one case.
struct Row {
    case: &'static Case,
    proxy: &'static str,
    rounds: usize,
    median: Numbers,
    /// CPU time, or memory, as a multiple of the reference's.
    ratio: Option<f64>,
}

fn rows(measured: &[Measured]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for case in &CASES {
        let of = |proxy: &str| -> Vec<Numbers> {
            let same = measured.iter().filter(|one| one.case == case && one.proxy == proxy);
            same.map(|one| one.numbers).collect()
        };
        let reference = Numbers::medians(&of(REFERENCE));
        for one in measured.iter().filter(|one| one.case == case) {
            if rows.iter().any(|row| row.case == case && row.proxy == one.proxy) {
                continue;
            }
            let same = of(one.proxy);
            let Some(median) = Numbers::medians(&same) else { continue };
            let ratio = reference.map(|reference| median.main() / reference.main());
            rows.push(Row { case, proxy: one.proxy, rounds: same.len(), median, ratio });
        }
    }
    rows
}

/// Lines for a terminal.
pub(super) fn table(measured: &[Measured]) -> String {
    let mut text = String::new();
    let mut last = None;
    for row in rows(measured) {
        if last != Some(row.case.name) {
            last = Some(row.case.name);
            text +=
                &format!("\n{}: {} (medians of {})\n", row.case.name, row.case.title, row.rounds);
            text += match row.median.load {
                Some(_) => HEAD_OF_LOAD,
                None => HEAD_OF_MEMORY,
            };
        }
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (proxy, rss) = (row.proxy, row.median.resident);
        text += &match row.median.load {
            Some(LoadNumbers { cpu, per_second, p50, p99 }) => format!(
                "{proxy:12} {cpu:>10.1} {ratio:>9} {per_second:>9.0} {p50:>8.2} {p99:>8.2} {rss:>7.1}\n"
            ),
            None => format!("{proxy:12} {rss:>10.1} {ratio:>9}\n"),
        };
    }
    text + &format!("\nRatios, of CPU time or of memory, are to {REFERENCE}, of this run.\n")
}

const HEAD_OF_LOAD: &str =
    "proxy        CPU µs/req     ratio     req/s   p50 ms   p99 ms  RSS MB\n";
const HEAD_OF_MEMORY: &str = "proxy            RSS MB     ratio\n";

/// The same for programs.
pub(super) fn json(measured: &[Measured]) -> Value {
    let one = |row: Row| {
        let load = row.median.load;
        json!({
            "name": row.case.name,
            "title": row.case.title,
            "proxy": row.proxy,
            "rounds": row.rounds,
            "cpu_us_per_request": load.map(|n| n.cpu),
            "requests_per_second": load.map(|n| n.per_second),
            "p50_ms": load.map(|n| n.p50),
            "p99_ms": load.map(|n| n.p99),
            "resident_mb": row.median.resident,
            "ratio": row.ratio,
        })
    };
    rows(measured).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let one = |case: &'static Case, proxy, cpu: Option<f64>, resident| Measured {
            case,
            proxy,
            numbers: Numbers {
                load: cpu.map(|cpu| LoadNumbers { cpu, per_second: 1e6 / cpu, p50: 1.0, p99: 2.0 }),
                resident,
            },
        };
        let [load, .., memory] = &CASES;
        let measured = [
            one(load, REFERENCE, Some(30.0), 9.0),
            one(load, "mesh-proxy", Some(15.0), 9.0),
            one(load, REFERENCE, Some(20.0), 9.0),
            one(load, REFERENCE, Some(90.0), 9.0),
            one(memory, REFERENCE, None, 8.0),
            one(memory, "mesh-proxy", None, 2.0),
        ];
        let rows = rows(&measured);
        let seen: Vec<_> = rows.iter().map(|row| (row.proxy, row.rounds, row.ratio)).collect();
        let expected = [
            (REFERENCE, 3, Some(1.0)),
            ("mesh-proxy", 1, Some(0.5)),
            (REFERENCE, 1, Some(1.0)),
            ("mesh-proxy", 1, Some(0.25)),
        ];
        assert_eq!(seen, expected);
        assert!(table(&measured).contains("0.25"));
    }
}
