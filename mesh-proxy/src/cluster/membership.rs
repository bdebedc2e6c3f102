//! How many endpoints there are, under Envoy's names.

use std::sync::OnceLock;

use super::members::Members;
use crate::endpoint::Health;
use crate::stats::{Level, Registry};

/// `cluster.<name>.membership_*`, and what the tables of policies that hash tell.
pub(super) struct Membership {
    total: Level,
    healthy: Level,
    degraded: Level,
    excluded: Level,
    tables: OnceLock<Vec<Level>>,
}

impl Membership {
    /// Of the cluster that statistics call so.
    pub(super) fn new(registry: &Registry, cluster: &str) -> Self {
        let level = |stat| registry.level(&format!("cluster.{cluster}.membership_{stat}"));
        Self {
            total: level("total"),
            healthy: level("healthy"),
            degraded: level("degraded"),
            excluded: level("excluded"),
            tables: OnceLock::new(),
        }
    }

    /// How many are healthy or degraded, and how many there are.
    pub(super) fn usable_and_all(&self) -> (u64, u64) {
        (self.healthy.value() + self.degraded.value(), self.total.value())
    }

    /// Shows the members as they are now.
    pub(super) fn show(&self, members: &Members, registry: &Registry, cluster: &str) {
        self.total.set(members.all.len() as u64);
        self.healthy.set(members.count(Health::Healthy));
        self.degraded.set(members.count(Health::Degraded));
        let excluded = members.all.iter().filter(|member| member.is_excluded());
        self.excluded.set(excluded.count() as u64);
        let stats = members.balance.table_stats();
        if stats.is_empty() {
            return;
        }
        let level = |(stat, _): &(&str, u64)| registry.level(&format!("cluster.{cluster}.{stat}"));
        let levels = self.tables.get_or_init(|| stats.iter().map(level).collect());
        levels.iter().zip(&stats).for_each(|(level, (_, value))| level.set(*value));
    }
}
