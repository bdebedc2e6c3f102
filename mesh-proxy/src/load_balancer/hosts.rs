//! The endpoints that may get requests, prepared for choosing.

use std::sync::Arc;
use std::time::Instant;

use super::turn::Turn;
use crate::config::SlowStart;
use crate::endpoint::{Endpoint, Member};
use crate::random;

/// An endpoint and its share.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) endpoint: Arc<Endpoint>,
    /// At least 1.
    pub(crate) weight: u32,
}

/// How fine the weights are that slow start makes.
const SLOW_SCALE: f64 = 100.0;

impl Host {
    fn of(member: &Member) -> Self {
        let endpoint = Arc::clone(&member.endpoint);
        Self { endpoint, weight: member.config.weight.max(1) }
    }

    /// The hosts of these endpoints. Those that have become healthy just now weigh less.
    pub(super) fn all<'m>(
        members: impl Iterator<Item = &'m Member>,
        slow_start: Option<&SlowStart>,
    ) -> Vec<Self> {
        let Some(slow_start) = slow_start else { return members.map(Self::of).collect() };
        let now = Instant::now();
        let factor = |member: &Member| {
            let since = member.endpoint.standing.since();
            since.map_or(1.0, |since| slow_start.factor(now.duration_since(since)))
        };
        let found: Vec<_> = members.map(|member| (Self::of(member), factor(member))).collect();
        if found.iter().all(|(_, factor)| *factor >= 1.0) {
            return found.into_iter().map(|(host, _)| host).collect();
        }
        let weighed = |(host, factor): (Self, f64)| {
            let weight = (f64::from(host.weight) * factor * SLOW_SCALE).round();
            Self { weight: (weight as u32).max(1), ..host }
        };
        found.into_iter().map(weighed).collect()
    }
}

/// The hosts that may be chosen.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    hosts: Box<[Host]>,
    /// The sums of the weights up to each host; `None` when all weigh the same.
    sums: Option<Box<[u64]>>,
    max_weight: u32,
    turn: Turn,
}

impl Hosts {
    /// `old` are those that stood in the same place before: turns go on from there.
    pub(crate) fn new(hosts: Vec<Host>, old: Option<&Self>) -> Self {
        let max_weight = hosts.iter().map(|host| host.weight).max().unwrap_or(1);
        let even = hosts.iter().all(|host| host.weight == max_weight);
        let sums = (!even).then(|| {
            let mut sum = 0;
            hosts
                .iter()
                .map(|host| {
                    sum += u64::from(host.weight);
                    sum
                })
                .collect()
        });
        let turn = old.map_or_else(Turn::default, |old| old.turn.clone());
        Self { hosts: hosts.into(), sums, max_weight, turn }
    }

    /// Whose turn it is.
    pub(super) fn turn(&self) -> &Turn {
        &self.turn
    }

    #[cfg(test)]
    pub(super) fn test_turn(&mut self, turn: usize) {
        self.turn = Turn::at(turn);
    }

    pub(crate) fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// The largest weight; `None` when all weigh the same.
    pub(crate) fn uneven(&self) -> Option<u32> {
        self.sums.as_ref().map(|_| self.max_weight)
    }

    /// Draws an endpoint at random, by weight. There must be at least one host.
    pub(crate) fn draw(&self) -> &Arc<Endpoint> {
        &self.hosts[self.draw_index()].endpoint
    }

    /// The first endpoint that is not one of `tried`, from a random one on.
    pub(crate) fn draw_but(&self, tried: &[u64]) -> Option<&Arc<Endpoint>> {
        let (before, after) = self.hosts.split_at_checked(self.draw_index())?;
        let mut hosts = after.iter().chain(before);
        hosts.find(|host| !tried.contains(&host.endpoint.id)).map(|host| &host.endpoint)
    }

    /// The index of a host drawn at random, by weight.
    pub(crate) fn draw_index(&self) -> usize {
        match &self.sums {
            None => random::below(self.hosts.len() as u64) as usize,
            Some(sums) => {
                let total = sums.last().copied().unwrap_or(1);
                let ticket = random::below(total);
                sums.partition_point(|sum| *sum <= ticket)
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn test_hosts(weights: &[u32]) -> Hosts {
    let host = |(port, weight): (usize, &u32)| Host {
        endpoint: Arc::new(Endpoint::new(([127, 0, 0, 1], 8000 + port as u16).into(), None, None)),
        weight: *weight,
    };
    Hosts::new(weights.iter().enumerate().map(host).collect(), None)
}

#[cfg(test)]
pub(crate) fn test_counts<'h>(
    hosts: &'h Hosts,
    picks: usize,
    mut pick: impl FnMut() -> &'h Arc<Endpoint>,
) -> Vec<usize> {
    let mut counts = vec![0; hosts.all().len()];
    for _ in 0..picks {
        let id = pick().id;
        counts[hosts.all().iter().position(|host| host.endpoint.id == id).unwrap()] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_by_weight() {
        let hosts = test_hosts(&[1, 3]);
        let counts = test_counts(&hosts, 40_000, || hosts.draw());
        // 10,000 expected, standard deviation 87.
        assert!((9_400..10_600).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn draws_evenly_without_weights() {
        let hosts = test_hosts(&[5, 5]);
        let counts = test_counts(&hosts, 40_000, || hosts.draw());
        assert!((19_300..20_700).contains(&counts[0]), "{counts:?}");
    }
}
