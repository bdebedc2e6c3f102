//! Round robin, by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Hosts;
use crate::endpoint::Endpoint;
use crate::random;

/// Whose turn it is, for all workers together.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    turn: AtomicUsize,
}

impl RoundRobin {
    /// Starts anywhere, so that proxies that start together do not all begin with the
    /// same host.
    pub(crate) fn new() -> Self {
        Self { turn: AtomicUsize::new(random::below(1 << 20) as usize) }
    }

    /// The next endpoint. There must be at least one host.
    ///
    /// With weights this is a stride schedule that needs no state but the turn: in `max`
    /// rounds over all hosts (`max` being the largest weight), a host of weight `w` is
    /// taken in `w` rounds, evenly spread, and skipped in the others.
    pub(crate) fn pick<'h>(&self, hosts: &'h Hosts) -> &'h Arc<Endpoint> {
        let all = hosts.all();
        let Some(max) = hosts.uneven().map(u64::from) else {
            return &all[self.turn.fetch_add(1, Ordering::Relaxed) % all.len()].endpoint;
        };
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let (round, index) = (turn / all.len(), turn % all.len());
            let host = &all[index];
            let weight = u64::from(host.weight);
            // The offset keeps hosts of the same weight from being taken in the same round.
            // Reduced before the sum, which then fits whatever the weights.
            let offset = index as u64 * (max / 2) % max;
            let position = (round as u64 % max) * weight + offset;
            if position % max >= max - weight {
                return &host.endpoint;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hosts::{test_counts, test_hosts};
    use super::*;

    #[test]
    fn takes_turns() {
        let hosts = test_hosts(&[1, 1, 1]);
        let turns = RoundRobin::new();
        assert_eq!(test_counts(&hosts, 300, || turns.pick(&hosts)), [100, 100, 100]);
    }

    #[test]
    fn gives_each_its_weight_exactly() {
        let hosts = test_hosts(&[1, 2, 5]);
        let turns = RoundRobin { turn: AtomicUsize::new(0) };
        assert_eq!(test_counts(&hosts, 800, || turns.pick(&hosts)), [100, 200, 500]);
    }

    #[test]
    fn takes_weights_of_any_size() {
        let mut weights = [u32::MAX; 12];
        weights[0] -= 1;
        let hosts = test_hosts(&weights);
        // The last rounds before the schedule starts again.
        let turns = RoundRobin { turn: AtomicUsize::new((u32::MAX as usize - 10) * 12) };
        let counts = test_counts(&hosts, 12 * 30, || turns.pick(&hosts));
        assert!(counts.iter().all(|count| (29..=31).contains(count)), "{counts:?}");
    }

    #[test]
    fn spreads_a_heavy_host_out() {
        let hosts = test_hosts(&[1, 3]);
        let turns = RoundRobin { turn: AtomicUsize::new(0) };
        for _ in 0..10 {
            assert_eq!(test_counts(&hosts, 4, || turns.pick(&hosts)), [1, 3]);
        }
    }
}
