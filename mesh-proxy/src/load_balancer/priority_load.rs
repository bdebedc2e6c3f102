//! How much of a cluster's requests each of its priorities gets.
//!
//! Envoy's rules: the first priority gets all while it is healthy enough; what it cannot take
//! goes to the next. Where too few are healthy in all of them together, a priority that is
//! below the panic threshold uses all of its endpoints.

use crate::config::AssignmentPolicy;
use crate::endpoint::{Health, Member};

/// What is to be known of a priority: numbers of endpoints, and what they weigh.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    /// All of them.
    hosts: u64,
    /// Those that count.
    counted: u64,
    healthy: u64,
    degraded: u64,
    weight: u64,
    healthy_weight: u64,
    degraded_weight: u64,
}

/// The share of a priority, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) healthy: u32,
    pub(super) degraded: u32,
    /// Uses all endpoints, whatever their health.
    pub(super) panic: bool,
}

impl Level {
    pub(super) fn of<'m>(members: impl Iterator<Item = &'m Member>) -> Self {
        let mut level = Self::default();
        for member in members {
            let weight = u64::from(member.config.weight);
            level.hosts += 1;
            if !member.is_excluded() {
                level.counted += 1;
                level.weight += weight;
            }
            match member.health() {
                Health::Healthy => {
                    level.healthy += 1;
                    level.healthy_weight += weight;
                }
                Health::Degraded => {
                    level.degraded += 1;
                    level.degraded_weight += weight;
                }
                Health::Unhealthy => {}
            }
        }
        level
    }

    /// How available healthy and degraded endpoints make it, in percent.
    fn availability(&self, policy: &AssignmentPolicy) -> (u64, u64) {
        let (healthy, degraded, all) = match policy.weighted_priority_health {
            true => (self.healthy_weight, self.degraded_weight, self.weight),
            false => (self.healthy, self.degraded, self.counted),
        };
        let factor = u64::from(policy.overprovisioning_factor);
        let percent = |part: u64| (factor * part).checked_div(all).unwrap_or_default().min(100);
        (percent(healthy), percent(degraded))
    }

    fn is_below(&self, threshold: u32) -> bool {
        let usable = 100.0 * (self.healthy + self.degraded) as f64;
        self.counted == 0 || usable / (self.counted as f64) < f64::from(threshold)
    }
}

/// The share of each priority: together they have 100 percent.
pub(super) fn shares(
    levels: &[Level],
    policy: &AssignmentPolicy,
    panic_threshold: u32,
) -> Vec<Share> {
    let available: Vec<_> = levels.iter().map(|level| level.availability(policy)).collect();
    let total =
        available.iter().map(|(healthy, degraded)| healthy + degraded).sum::<u64>().min(100);
    let mut shares = vec![Share::default(); levels.len()];
    if total > 0 {
        by_availability(&available, total, &mut shares);
    }
    if total == 100 || panic_threshold == 0 {
        // With nobody to go to, the first has all of nothing.
        give_rest(&mut shares, 0);
        return shares;
    }
    for (share, level) in shares.iter_mut().zip(levels) {
        share.panic = level.is_below(panic_threshold);
    }
    if shares.iter().all(|share| share.panic) {
        by_number(levels, &mut shares);
    }
    shares
}

/// Healthy endpoints first, then degraded ones, by what each priority can take.
fn by_availability(available: &[(u64, u64)], total: u64, shares: &mut [Share]) {
    let mut rest = 100;
    for (share, (healthy, _)) in shares.iter_mut().zip(available) {
        share.healthy = (healthy * 100 / total).min(rest) as u32;
        rest -= u64::from(share.healthy);
    }
    for (share, (_, degraded)) in shares.iter_mut().zip(available) {
        share.degraded = (degraded * 100 / total).min(rest) as u32;
        rest -= u64::from(share.degraded);
    }
    // Of rounding.
    let healthy = available.iter().position(|(healthy, _)| *healthy > 0);
    let degraded = available.iter().position(|(_, degraded)| *degraded > 0);
    match (healthy, degraded) {
        (Some(first), _) => give_rest(shares, first),
        (None, Some(first)) => shares[first].degraded += rest as u32,
        (None, None) => {}
    }
}

/// All priorities panic: by their numbers of endpoints.
fn by_number(levels: &[Level], shares: &mut [Share]) {
    let all = levels.iter().map(|level| level.hosts).sum::<u64>();
    for (share, level) in shares.iter_mut().zip(levels) {
        share.healthy = (100 * level.hosts).checked_div(all).unwrap_or_default() as u32;
        share.degraded = 0;
    }
    give_rest(shares, levels.iter().position(|level| level.hosts > 0).unwrap_or_default());
}

fn give_rest(shares: &mut [Share], to: usize) {
    let given = shares.iter().map(|share| share.healthy + share.degraded).sum::<u32>();
    if let Some(share) = shares.get_mut(to) {
        share.healthy += 100_u32.saturating_sub(given);
    }
}

/// The priority that a number falls to, and whether its degraded endpoints do.
pub(super) fn choose(shares: impl Iterator<Item = Share> + Clone, number: u64) -> (usize, bool) {
    let ticket = (number % 100 + 1) as u32;
    let mut sum = 0;
    for (priority, share) in shares.clone().enumerate() {
        sum += share.healthy;
        if ticket <= sum {
            return (priority, false);
        }
    }
    for (priority, share) in shares.enumerate() {
        sum += share.degraded;
        if ticket <= sum {
            return (priority, true);
        }
    }
    (0, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(hosts: u64, healthy: u64, degraded: u64) -> Level {
        Level {
            hosts,
            counted: hosts,
            healthy,
            degraded,
            weight: hosts,
            healthy_weight: healthy,
            degraded_weight: degraded,
        }
    }

    fn healthy(levels: &[Level], threshold: u32) -> Vec<(u32, bool)> {
        let shares = shares(levels, &AssignmentPolicy::default(), threshold);
        shares.into_iter().map(|share| (share.healthy, share.panic)).collect()
    }

    /// From Envoy's documentation, "Priority levels" and "Panic threshold".
    #[test]
    fn what_a_priority_cannot_take_goes_to_the_next() {
        for (first, second, expected) in [
            (100, 100, [100, 0]),
            (72, 100, [100, 0]),
            (71, 100, [99, 1]),
            (50, 100, [70, 30]),
            (25, 100, [35, 65]),
            (0, 100, [0, 100]),
        ] {
            let found = healthy(&[level(100, first, 0), level(100, second, 0)], 0);
            assert_eq!(numbers(found), expected, "{first}% and {second}% healthy");
        }
        let three = healthy(&[level(100, 20, 0), level(100, 20, 0), level(100, 10, 0)], 0);
        assert_eq!(numbers(three), [40, 40, 20]);
        let both = healthy(&[level(100, 25, 0), level(100, 25, 0)], 0);
        assert_eq!(numbers(both), [50, 50]);
    }

    fn numbers(shares: Vec<(u32, bool)>) -> Vec<u32> {
        shares.into_iter().map(|(share, _)| share).collect()
    }

    #[test]
    fn panics_only_where_all_together_are_too_few() {
        let both = |first, second| healthy(&[level(100, first, 0), level(100, second, 0)], 50);
        assert_eq!(both(5, 65), [(8, true), (92, false)]);
        assert_eq!(both(0, 100), [(0, false), (100, false)]);
        assert_eq!(both(40, 40), [(56, false), (44, false)]);
        assert_eq!(both(30, 30), [(50, true), (50, true)]);
        assert_eq!(both(0, 0), [(50, true), (50, true)]);
        assert_eq!(healthy(&[level(4, 0, 0)], 50), [(100, true)]);
        assert_eq!(healthy(&[level(4, 2, 0)], 50), [(100, false)]);
        assert_eq!(healthy(&[level(4, 1, 0)], 50), [(100, true)]);
        assert_eq!(healthy(&[level(4, 0, 0)], 0), [(100, false)]);
        assert_eq!(healthy(&[level(0, 0, 0)], 50), [(100, true)]);
    }

    #[test]
    fn degraded_endpoints_take_what_healthy_ones_cannot() {
        let shares = shares(&[level(10, 5, 5)], &AssignmentPolicy::default(), 50);
        assert_eq!(shares, [Share { healthy: 70, degraded: 30, panic: false }]);
        let at = |number| choose(shares.iter().copied(), number);
        assert_eq!((at(0), at(69), at(70), at(99)), ((0, false), (0, false), (0, true), (0, true)));
    }
}
