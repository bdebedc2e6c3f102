use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Exponential back-off with full jitter: each wait is random between nothing and a bound
/// that doubles from `base` up to `max`, so that the proxies of a control plane which
/// returns do not all arrive at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// 200 ms, up to 10 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(10))
    }
}

impl Backoff {
    /// `base` bounds the first wait, `max` every wait.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// The wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        // The standard library's hash keys are random for each `RandomState`.
        let random = RandomState::new().hash_one(self.failures);
        bound.mul_f64(random as f64 / u64::MAX as f64)
    }

    /// After a success: the next wait is a first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    fn bound(&self) -> Duration {
        let factor = 2u32.saturating_pow(self.failures);
        self.base.saturating_mul(factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_doubles_to_the_maximum_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut bounds = Vec::new();
        for _ in 0..4 {
            bounds.push(backoff.bound().as_secs());
            assert!(backoff.next_wait() <= Duration::from_secs(5));
        }
        assert_eq!(bounds, [1, 2, 4, 5]);
        backoff.reset();
        assert_eq!(backoff.bound(), Duration::from_secs(1));
        backoff.failures = u32::MAX;
        assert_eq!(backoff.bound(), Duration::from_secs(5));
    }

    #[test]
    fn waits_differ() {
        let waits: Vec<_> = (0..8).map(|_| Backoff::default().next_wait()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
