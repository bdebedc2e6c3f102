//! Times in buckets whose width grows with the value.

use std::time::Duration;

use serde_json::{Value, json};

use crate::book::milliseconds;

/// Buckets for each doubling: a value is known to 3%.
const STEPS: usize = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Counts of times, from a microsecond up; a value's bucket is at most 3% wide.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Histogram {
    pub(crate) fn record(&mut self, time: Duration) {
        let index = index(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    /// The time that this share (0 to 1) of all took at most; zero when there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(upper(index)).min(self.longest);
            }
        }
        Duration::ZERO
    }

    pub(crate) fn report(&self) -> Value {
        json!({
            "count": self.count,
            "p50_ms": milliseconds(self.quantile(0.5)),
            "p99_ms": milliseconds(self.quantile(0.99)),
            "max_ms": milliseconds(self.longest),
        })
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }
}

fn index(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    // Below 2 × STEPS every value has a bucket of its own.
    shift as usize * STEPS + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    let shift = (index / STEPS).saturating_sub(1);
    let start = (index - shift * STEPS) as u64;
    ((start + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_do_not_overlap() {
        for value in (0..5000).chain([99_999, 1_000_000, 12_345_678, 1 << 40]) {
            let at = index(value);
            assert!(value <= upper(at), "{value}");
            assert!(at == 0 || value > upper(at - 1), "{value}");
            assert!(upper(at) - value <= value / 32, "{value}");
        }
    }

    #[test]
    fn quantiles() {
        let mut all = Histogram::default();
        assert_eq!(all.quantile(0.99), Duration::ZERO);
        for millisecond in 1..=100 {
            all.record(Duration::from_millis(millisecond));
        }
        let near = |share, expected: u64| {
            let got = all.quantile(share).as_micros() as f64;
            let expected = expected as f64 * 1000.0;
            assert!((got - expected).abs() <= expected * 0.032, "{share}: {got}");
        };
        near(0.5, 50);
        near(0.99, 99);
        assert_eq!(all.quantile(1.0), Duration::from_millis(100));
        assert_eq!(all.report()["max_ms"], 100.0);
    }

    #[test]
    fn merged_they_count_both() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        a.record(Duration::from_millis(1));
        b.record(Duration::from_millis(900));
        a.merge(&b);
        assert_eq!((a.count, a.quantile(1.0)), (2, Duration::from_millis(900)));
        assert!(a.quantile(0.5) < Duration::from_millis(2));
    }
}
