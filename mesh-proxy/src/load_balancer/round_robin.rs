//! Round robin, by weight.

use std::sync::Arc;

use super::Hosts;
use crate::endpoint::Endpoint;

/// The next endpoint. There must be at least one host.
pub(super) fn pick(hosts: &Hosts) -> &Arc<Endpoint> {
    let all = hosts.all();
    let next = match hosts.uneven().map(u64::from) {
        None => hosts.turn().next(all.len()),
        Some(max) => hosts.turn().next_by_weight(all.len(), max, |at| all[at].weight.into()),
    };
    &all[next].endpoint
}

#[cfg(test)]
mod tests {
    use super::super::hosts::{test_counts, test_hosts};
    use super::*;

    #[test]
    fn takes_turns() {
        let hosts = test_hosts(&[1, 1, 1]);
        assert_eq!(test_counts(&hosts, 300, || pick(&hosts)), [100, 100, 100]);
    }

    #[test]
    fn gives_each_its_weight_exactly() {
        let mut hosts = test_hosts(&[1, 2, 5]);
        hosts.test_turn(0);
        assert_eq!(test_counts(&hosts, 800, || pick(&hosts)), [100, 200, 500]);
    }

    #[test]
    fn takes_weights_of_any_size() {
        let mut weights = [u32::MAX; 12];
        weights[0] -= 1;
        let mut hosts = test_hosts(&weights);
        // The last rounds before the schedule starts again.
        hosts.test_turn((u32::MAX as usize - 10) * 12);
        let counts = test_counts(&hosts, 12 * 30, || pick(&hosts));
        assert!(counts.iter().all(|count| (29..=31).contains(count)), "{counts:?}");
    }

    #[test]
    fn spreads_a_heavy_host_out() {
        let mut hosts = test_hosts(&[1, 3]);
        hosts.test_turn(0);
        for _ in 0..10 {
            assert_eq!(test_counts(&hosts, 4, || pick(&hosts)), [1, 3]);
        }
    }
}
