//! Least request: the best of a few random picks.

use std::sync::Arc;

use super::Hosts;
use crate::endpoint::Endpoint;
use crate::random;

/// The endpoint with the fewest active requests of `choices` picks (Envoy's
/// `choice_count`); with as many picks as hosts, the best of all. There must be at least
/// one host.
///
/// With weights the picks are drawn by weight and the requests counted by weight: an idle
/// cluster is shared by weight alone, a loaded one so that each host has its share of the
/// active requests.
pub(crate) fn pick(hosts: &Hosts, choices: u32) -> &Arc<Endpoint> {
    let all = hosts.all();
    let first = hosts.draw_index();
    let mut best = first;
    let scan = choices as usize >= all.len();
    let picks = if scan { all.len() } else { choices as usize };
    for pick in 1..picks {
        let other = match hosts.uneven() {
            _ if scan => (first + pick) % all.len(),
            None if choices == 2 => another(best, all.len()),
            _ => hosts.draw_index(),
        };
        // Compares active/weight without dividing.
        let load_other = all[other].endpoint.active_requests() * u64::from(all[best].weight);
        let load_best = all[best].endpoint.active_requests() * u64::from(all[other].weight);
        if load_other < load_best {
            best = other;
        }
    }
    &all[best].endpoint
}

/// A random index below `len` that is not `index`; of two picks the second would be lost
/// if it were the same.
fn another(index: usize, len: usize) -> usize {
    let other = random::below(len as u64 - 1) as usize;
    if other >= index { other + 1 } else { other }
}

#[cfg(test)]
mod tests {
    use super::super::hosts::{test_counts, test_hosts};
    use super::*;

    #[test]
    fn of_two_hosts_takes_the_less_busy() {
        let hosts = test_hosts(&[1, 1]);
        hosts.all()[0].endpoint.test_active_requests(3);
        assert_eq!(test_counts(&hosts, 100, || pick(&hosts, 2)), [0, 100]);
    }

    #[test]
    fn more_choices_than_hosts_are_one_look_at_each() {
        for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
            let hosts = test_hosts(&weights);
            for busy in [0, 1, 3] {
                hosts.all()[busy].endpoint.test_active_requests(9);
            }
            assert_eq!(test_counts(&hosts, 1_000, || pick(&hosts, u32::MAX)), [0, 0, 1_000, 0]);
        }
    }

    #[test]
    fn idle_hosts_share_by_weight() {
        let hosts = test_hosts(&[1, 3]);
        let counts = test_counts(&hosts, 40_000, || pick(&hosts, 2));
        assert!((9_400..10_600).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn busy_hosts_are_compared_by_weight() {
        let hosts = test_hosts(&[1, 4]);
        hosts.all()[0].endpoint.test_active_requests(2);
        hosts.all()[1].endpoint.test_active_requests(4);
        let counts = test_counts(&hosts, 1_000, || pick(&hosts, 2));
        // Two requests at weight 1 are more than four at weight 4: only two draws of
        // the first (1 in 25) take it.
        assert!(counts[0] < 100, "{counts:?}");
    }
}
