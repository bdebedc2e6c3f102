//! The endpoints of a cluster by priority, prepared for choosing.

use std::sync::Arc;

use super::hosts::Host;
use super::localities::Localities;
use super::priority_load::{self, Level, Share};
use super::table::{Table, TableStats};
use super::{Choice, Hosts, Picked, weights};
use crate::config::{AssignmentPolicy, LoadBalancing};
use crate::endpoint::{Endpoint, Health, Member};
use crate::random;

/// Envoy's priority set. It does not change: with the endpoints or their health a new one is
/// made.
#[derive(Debug, Default)]
pub(crate) struct Priorities(Box<[Priority]>);

#[derive(Debug, Default)]
struct Priority {
    share: Share,
    healthy: Source,
    degraded: Source,
}

/// Those that are chosen from. Only what a priority has a share of is made.
#[derive(Debug, Default)]
enum Source {
    #[default]
    Nobody,
    /// All together.
    Flat(Hosts),
    ByLocality(Localities),
    /// By the request's hash.
    ByHash(Table),
}

impl Priorities {
    /// Takes over the turns of `old`.
    pub(crate) fn new<'m>(
        members: impl Iterator<Item = &'m Member>,
        lb: &LoadBalancing,
        policy: &AssignmentPolicy,
        old: Option<&Self>,
    ) -> Self {
        let mut by_priority: Vec<Vec<&Member>> = vec![Vec::new()];
        for member in members {
            let at = member.config.priority as usize;
            if by_priority.len() <= at {
                by_priority.resize_with(at + 1, Vec::new);
            }
            by_priority[at].push(member);
        }
        let levels: Vec<_> =
            by_priority.iter().map(|members| Level::of(members.iter().copied())).collect();
        let shares = priority_load::shares(&levels, policy, lb.panic_threshold);
        let priority = |(at, (members, share)): (usize, (Vec<&Member>, Share))| {
            let old = old.and_then(|old| old.0.get(at));
            let make = Making { members: &members, lb, policy };
            Priority {
                share,
                healthy: match share {
                    Share { healthy: 0, .. } => Source::Nobody,
                    Share { panic: true, .. } => make.all(old.map(|old| &old.healthy)),
                    _ => make.source(Health::Healthy, old.map(|old| &old.healthy)),
                },
                degraded: match share.degraded {
                    0 => Source::Nobody,
                    _ => make.source(Health::Degraded, old.map(|old| &old.degraded)),
                },
            }
        };
        Self(by_priority.into_iter().zip(shares).enumerate().map(priority).collect())
    }

    pub(crate) fn pick<'h>(&'h self, lb: &LoadBalancing, choice: &Choice<'_>) -> Picked<'h> {
        let hash = choice.hash.filter(|_| lb.policy.hashes());
        let number = || hash.unwrap_or_else(random::next);
        let (at, degraded) = match &*self.0 {
            // Nothing to be drawn for.
            [only] if only.share.healthy == 100 => (0, false),
            all => priority_load::choose(all.iter().map(|one| one.share), number()),
        };
        let Some(priority) = self.0.get(at) else { return Picked::default() };
        let panic = priority.share.panic;
        if panic && lb.fail_on_panic {
            return Picked { endpoint: None, panic };
        }
        let source = if degraded { &priority.degraded } else { &priority.healthy };
        Picked { endpoint: source.pick(lb, choice), panic }
    }

    /// What is told of the tables of a policy that hashes: of the last one, as in Envoy.
    pub(crate) fn table_stats(&self) -> TableStats {
        let mut tables = self.0.iter().rev().filter_map(|priority| match &priority.healthy {
            Source::ByHash(table) => Some(table.stats()),
            _ => None,
        });
        tables.next().unwrap_or_default()
    }
}

/// What the sources of a priority are made of.
struct Making<'a> {
    members: &'a [&'a Member],
    lb: &'a LoadBalancing,
    policy: &'a AssignmentPolicy,
}

impl Making<'_> {
    fn all(&self, old: Option<&Source>) -> Source {
        if self.lb.policy.hashes() {
            return self.table(|_| true);
        }
        let hosts = Host::all(self.members.iter().copied(), self.lb.slow_start.as_ref());
        Source::Flat(Hosts::new(hosts, old.and_then(Source::flat)))
    }

    /// Degraded endpoints are in no table, as in Envoy.
    fn table(&self, wanted: impl Fn(&Member) -> bool) -> Source {
        let LoadBalancing { policy, by_locality, hashing, .. } = self.lb;
        let hosts = weights::normalized(self.members, wanted, *by_locality, hashing.use_hostname);
        Table::new(policy, hosts).map_or(Source::Nobody, Source::ByHash)
    }

    fn source(&self, health: Health, old: Option<&Source>) -> Source {
        if self.lb.policy.hashes() {
            return self.table(|member| member.health() == Health::Healthy);
        }
        let slow_start = self.lb.slow_start.as_ref();
        if self.lb.by_locality {
            let old = match old {
                Some(Source::ByLocality(old)) => Some(old),
                _ => None,
            };
            if let Some(localities) =
                Localities::new(self.members, health, self.policy, slow_start, old)
            {
                return Source::ByLocality(localities);
            }
        }
        let members = self.members.iter().filter(|member| member.health() == health);
        let hosts = Host::all(members.copied(), slow_start);
        Source::Flat(Hosts::new(hosts, old.and_then(Source::flat)))
    }
}

impl Source {
    fn pick<'h>(&'h self, lb: &LoadBalancing, choice: &Choice<'_>) -> Option<&'h Arc<Endpoint>> {
        match self {
            Self::Nobody => None,
            Self::Flat(hosts) => super::pick(&lb.policy, hosts, choice.tried),
            Self::ByLocality(localities) => {
                super::pick(&lb.policy, localities.next(), choice.tried)
            }
            Self::ByHash(table) => table.pick(lb, choice.hash.unwrap_or_else(random::next), choice),
        }
    }

    fn flat(&self) -> Option<&Hosts> {
        match self {
            Self::Flat(hosts) => Some(hosts),
            _ => None,
        }
    }
}
