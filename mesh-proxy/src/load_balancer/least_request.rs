//! Least request: the best of a few random picks.

use std::sync::Arc;

use super::Hosts;
use super::hosts::Host;
use crate::config::LeastRequest;
use crate::endpoint::Endpoint;
use crate::random;

/// The endpoint with the fewest active requests of a few picks (Envoy's `choice_count`);
/// with as many picks as hosts, the best of all. There must be at least one host.
///
/// With weights the picks are drawn by weight and the requests counted by weight: an idle
/// cluster is shared by weight alone, a loaded one so that each host has its share of the
/// active requests.
pub(super) fn pick<'h>(hosts: &'h Hosts, settings: &LeastRequest) -> &'h Arc<Endpoint> {
    let all = hosts.all();
    let choices = settings.choice_count;
    let first = hosts.draw_index();
    let mut best = first;
    let scan = settings.full_scan || choices as usize >= all.len();
    let picks = if scan { all.len() } else { choices as usize };
    for pick in 1..picks {
        let other = match hosts.uneven() {
            _ if scan => (first + pick) % all.len(),
            None if choices == 2 => another(best, all.len()),
            _ => hosts.draw_index(),
        };
        if is_less_loaded(&all[other], &all[best], settings.bias) {
            best = other;
        }
    }
    &all[best].endpoint
}

/// Whether one host has less to do for its weight than the other.
fn is_less_loaded(one: &Host, other: &Host, bias: f64) -> bool {
    let [active, active_other] = [one, other].map(|host| host.endpoint.active_requests());
    let [weight, weight_other] = [one, other].map(|host| host.weight);
    if bias == 1.0 || weight == weight_other {
        // Compares active/weight without dividing.
        return active * u64::from(weight_other) < active_other * u64::from(weight);
    }
    let load = |active: u64, weight: u32| (active as f64).powf(bias) / f64::from(weight);
    load(active, weight) < load(active_other, weight_other)
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

    const TWO: LeastRequest = LeastRequest { choice_count: 2, full_scan: false, bias: 1.0 };

    #[test]
    fn of_two_hosts_takes_the_less_busy() {
        let hosts = test_hosts(&[1, 1]);
        hosts.all()[0].endpoint.test_active_requests(3);
        assert_eq!(test_counts(&hosts, 100, || pick(&hosts, &TWO)), [0, 100]);
    }

    #[test]
    fn more_choices_than_hosts_are_one_look_at_each() {
        for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
            let hosts = test_hosts(&weights);
            let settings = [(u32::MAX, false), (2, true)];
            let settings = settings.map(|(choice_count, full_scan)| LeastRequest {
                choice_count,
                full_scan,
                ..TWO
            });
            for busy in [0, 1, 3] {
                hosts.all()[busy].endpoint.test_active_requests(9);
            }
            for settings in settings {
                let counts = test_counts(&hosts, 1_000, || pick(&hosts, &settings));
                assert_eq!(counts, [0, 0, 1_000, 0]);
            }
        }
    }

    #[test]
    fn idle_hosts_share_by_weight() {
        let hosts = test_hosts(&[1, 3]);
        let counts = test_counts(&hosts, 40_000, || pick(&hosts, &TWO));
        assert!((9_400..10_600).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn busy_hosts_are_compared_by_weight() {
        let hosts = test_hosts(&[1, 4]);
        hosts.all()[0].endpoint.test_active_requests(2);
        hosts.all()[1].endpoint.test_active_requests(4);
        let counts = test_counts(&hosts, 1_000, || pick(&hosts, &TWO));
        // Two requests at weight 1 are more than four at weight 4: only two draws of
        // the first (1 in 25) take it.
        assert!(counts[0] < 100, "{counts:?}");
    }
}
