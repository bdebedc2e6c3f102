//! Histograms.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::shard;

/// The inclusive upper bounds of the buckets, which are Envoy's for Prometheus, without
/// 0.5: whole milliseconds are recorded.
pub(crate) const BOUNDS: [u64; 18] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
    1_800_000, 3_600_000,
];

/// The buckets of one worker: one more than there are bounds, then the sum.
type Buckets = [AtomicU64; BOUNDS.len() + 2];
const SUM: usize = BOUNDS.len() + 1;

/// Counts how often values fell between [`BOUNDS`]; Envoy records durations in
/// milliseconds. A clone is the same histogram.
#[derive(Clone)]
pub(crate) struct Histogram(Arc<Shards>);

/// A worker that recorded nothing has no buckets.
pub(super) type Shards = [OnceLock<Box<Buckets>>];

/// What was recorded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// How many values fell in each bucket (not cumulative); the last is beyond the last
    /// bound.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// The sum of all values.
    pub(crate) sum: u64,
}

impl Histogram {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..=workers).map(|_| OnceLock::new()).collect())
    }

    /// Counts a value.
    pub(crate) fn record(&self, value: u64) {
        let shard = shard::current();
        let shard = if shard < self.0.len() { shard } else { 0 };
        let Some(buckets) = self.0.get(shard) else { return };
        let buckets = buckets.get_or_init(Box::default);
        let at = BOUNDS.partition_point(|bound| *bound < value);
        for (at, amount) in [(at, 1), (SUM, value)] {
            if let Some(cell) = buckets.get(at) {
                shard::add(shard, cell, amount);
            }
        }
    }

    /// Adds what was recorded elsewhere.
    pub(super) fn add(&self, more: &Snapshot) {
        // The shard that many may write.
        let Some(buckets) = self.0.first() else { return };
        let buckets = buckets.get_or_init(Box::default);
        for (cell, amount) in buckets.iter().zip(more.buckets.iter().chain([&more.sum])) {
            shard::add(0, cell, *amount);
        }
    }

    /// The sum over all workers.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot::default();
        for buckets in self.0.iter().filter_map(OnceLock::get) {
            for (sum, cell) in all.buckets.iter_mut().zip(buckets.iter()) {
                *sum += cell.load(Ordering::Relaxed);
            }
            all.sum = all.sum.wrapping_add(buckets[SUM].load(Ordering::Relaxed));
        }
        all
    }

    pub(super) fn downgrade(&self) -> Weak<Shards> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn upgrade(weak: &Weak<Shards>) -> Option<Self> {
        weak.upgrade().map(Self)
    }
}

impl Snapshot {
    pub(super) fn add(&mut self, more: &Self) {
        for (sum, amount) in self.buckets.iter_mut().zip(more.buckets) {
            *sum = sum.wrapping_add(amount);
        }
        self.sum = self.sum.wrapping_add(more.sum);
    }

    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut more = *self;
        for (now, then) in more.buckets.iter_mut().zip(before.buckets) {
            *now = now.wrapping_sub(then);
        }
        more.sum = more.sum.wrapping_sub(before.sum);
        more
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The value that the share `quantile` (0 to 1) of all values do not exceed, as far as
    /// the buckets tell: interpolated within its bucket. `None` when nothing was recorded.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        let wanted = quantile.clamp(0.0, 1.0) * count as f64;
        let mut below = 0;
        for (at, inside) in self.buckets.iter().enumerate().filter(|(_, inside)| **inside > 0) {
            if (below + inside) as f64 >= wanted {
                let low = if at == 0 { 0 } else { BOUNDS[at - 1] } as f64;
                let high = BOUNDS.get(at).map_or(low, |bound| *bound as f64);
                return Some(low + (high - low) * (wanted - below as f64) / *inside as f64);
            }
            below += inside;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let histogram = Histogram::new(1);
        for value in [0, 1, 2, 5, 6, 4_000_000] {
            histogram.record(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets[..3], [2, 2, 1]);
        assert_eq!(snapshot.buckets[BOUNDS.len()], 1);
        assert_eq!(snapshot.count(), 6);
        assert_eq!(snapshot.sum, 4_000_014);
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let histogram = Histogram::new(1);
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        for value in 0..100 {
            histogram.record(value);
        }
        let half = histogram.snapshot().quantile(0.5).unwrap();
        assert!((25.0..=50.0).contains(&half), "{half}");
        assert_eq!(histogram.snapshot().quantile(1.0), Some(100.0));
    }
}
