//! Nobody keeps the authority from signing for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that an address may make at once, after a time without any. A node's pods may
/// share an address, and all start together.
const BURST: f64 = 200.0;
/// And then so many a second.
const RATE: f64 = 20.0;
/// Addresses that are remembered; one that is forgotten begins anew.
const ADDRESSES: usize = 10_000;

/// A bucket of tokens for each address.
#[derive(Default)]
pub(super) struct Limits {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + seconds * RATE).min(BURST);
        self.at = now;
    }
}

impl Limits {
    /// Whether a request from this address may be looked at; if not, when the next one may.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| {
                bucket.refill(now);
                bucket.tokens < BURST
            });
            if buckets.len() >= ADDRESSES {
                buckets.clear();
            }
        }
        let full = || Bucket { tokens: BURST, at: now };
        let bucket = buckets.entry(address).or_insert_with(full);
        bucket.refill(now);
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / RATE));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_held_back_and_another_is_not() {
        let (limits, now) = (Limits::default(), Instant::now());
        let (greedy, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let taken = (0..1000).filter(|_| limits.take(greedy, now).is_ok()).count();
        assert_eq!(taken, 200);
        assert_eq!(limits.take(greedy, now), Err(Duration::from_millis(50)));
        assert_eq!(limits.take(other, now), Ok(()));
        assert_eq!(limits.take(greedy, now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn addresses_are_not_remembered_without_end() {
        let (limits, now) = (Limits::default(), Instant::now());
        for number in 0..3 * ADDRESSES as u32 {
            assert_eq!(limits.take(std::net::Ipv4Addr::from(number).into(), now), Ok(()));
        }
        assert!(limits.buckets.lock().unwrap().len() <= ADDRESSES);
    }
}
