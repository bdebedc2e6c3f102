//! Success rates of many endpoints.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The average of the last interval, and the rate below which an endpoint was an outlier.
#[derive(Debug)]
pub(crate) struct Rates {
    average: AtomicU64,
    threshold: AtomicU64,
}

impl Default for Rates {
    fn default() -> Self {
        let none = || AtomicU64::new((-1.0_f64).to_bits());
        Self { average: none(), threshold: none() }
    }
}

impl Rates {
    pub(super) fn set(&self, (average, threshold): (f64, f64)) {
        self.average.store(average.to_bits(), Relaxed);
        self.threshold.store(threshold.to_bits(), Relaxed);
    }

    /// Both; -1 when there were too few requests or endpoints.
    pub(crate) fn get(&self) -> (f64, f64) {
        let read = |rate: &AtomicU64| f64::from_bits(rate.load(Relaxed));
        (read(&self.average), read(&self.threshold))
    }
}

/// The average of these rates, and Envoy's threshold: so many thousandths of a standard
/// deviation below it.
pub(super) fn threshold(rates: &[f64], stdev_factor: u32) -> (f64, f64) {
    let count = rates.len() as f64;
    let average = rates.iter().sum::<f64>() / count;
    let variance = rates.iter().map(|rate| (rate - average).powi(2)).sum::<f64>() / count;
    (average, average - f64::from(stdev_factor) / 1000.0 * variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in Envoy's documentation of outlier detection.
    #[test]
    fn a_threshold_is_below_the_average() {
        assert_eq!(threshold(&[50.0, 100.0, 100.0, 100.0, 100.0], 1900), (90.0, 52.0));
    }
}
