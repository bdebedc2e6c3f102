//! Localities by their weight (`locality_weighted_lb_config`).

use std::sync::Arc;

use super::Hosts;
use super::hosts::Host;
use super::turn::Turn;
use crate::config::{AssignmentPolicy, Locality, SlowStart};
use crate::endpoint::{Health, Member};

/// One locality weighs so much when all of its endpoints are available.
const SCALE: f64 = 100.0;

/// The hosts of a priority by locality. Those of a locality without weight get nothing.
#[derive(Debug)]
pub(super) struct Localities {
    hosts: Box<[(Hosts, u64)]>,
    max: u64,
    turn: Turn,
}

impl Localities {
    /// Of the endpoints with this health; `None` when no locality has a weight and such an
    /// endpoint, so that none is chosen by it.
    pub(super) fn new(
        members: &[&Member],
        health: Health,
        policy: &AssignmentPolicy,
        slow_start: Option<&SlowStart>,
        old: Option<&Self>,
    ) -> Option<Self> {
        let mut found = Vec::new();
        for (at, (locality, members)) in by_locality(members).into_iter().enumerate() {
            let eligible: Vec<_> =
                members.iter().filter(|member| member.health() == health).collect();
            let available = eligible.len() as f64 / members.len() as f64;
            let factor = f64::from(policy.overprovisioning_factor) / 100.0;
            let weight = f64::from(locality.weight) * (factor * available).min(1.0);
            let weight = (weight * SCALE).round() as u64;
            let old = old.and_then(|old| old.hosts.get(at)).map(|(hosts, _)| hosts);
            let hosts = Hosts::new(Host::all(eligible.into_iter().copied(), slow_start), old);
            found.push((hosts, weight));
        }
        let max = found.iter().map(|(_, weight)| *weight).max().filter(|max| *max > 0)?;
        let turn = old.map_or_else(Turn::default, |old| old.turn.clone());
        Some(Self { hosts: found.into(), max, turn })
    }

    /// The hosts of the locality whose turn it is.
    pub(super) fn next(&self) -> &Hosts {
        let next = self.turn.next_by_weight(self.hosts.len(), self.max, |at| self.hosts[at].1);
        &self.hosts[next].0
    }
}

/// Endpoints by their locality, in the order of its names.
pub(super) fn by_locality<'m>(members: &[&'m Member]) -> Vec<(Arc<Locality>, Vec<&'m Member>)> {
    let mut found: Vec<(Arc<Locality>, Vec<&Member>)> = Vec::new();
    for member in members {
        let locality = &member.config.locality;
        match found.iter_mut().find(|(known, _)| known.names() == locality.names()) {
            Some((_, members)) => members.push(member),
            None => found.push((Arc::clone(locality), vec![member])),
        }
    }
    found.sort_by(|(a, _), (b, _)| a.names().cmp(&b.names()));
    found
}
