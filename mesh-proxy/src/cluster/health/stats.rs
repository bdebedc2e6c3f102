//! What is counted of health checks, under Envoy's names.

use super::is_wanted;
use super::state::Outcome;
use crate::cluster::Cluster;
use crate::endpoint::Flag;
use crate::stats::{Counter, Level};

/// `cluster.<name>.health_check.*`
pub(super) struct HealthStats {
    pub(super) attempt: Counter,
    success: Counter,
    failure: Counter,
    network_failure: Counter,
    pub(super) verify_cluster: Counter,
    passive_failure: Counter,
    healthy: Level,
    degraded: Level,
}

impl HealthStats {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let full = |stat| format!("cluster.{}.health_check.{stat}", cluster.config.stat_name);
        let counter = |stat| cluster.registry.counter(&full(stat));
        let level = |stat| cluster.registry.level(&full(stat));
        Self {
            attempt: counter("attempt"),
            success: counter("success"),
            failure: counter("failure"),
            network_failure: counter("network_failure"),
            verify_cluster: counter("verify_cluster"),
            passive_failure: counter("passive_failure"),
            healthy: level("healthy"),
            degraded: level("degraded"),
        }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success { .. } => self.success.inc(),
            Outcome::Unhealthy { .. } => self.failure.inc(),
            Outcome::Network | Outcome::Timeout => {
                self.failure.inc();
                self.network_failure.inc();
            }
        }
    }

    /// Counts answers to requests by which endpoints said that they are not well.
    pub(super) fn count_said(&self, count: u64) {
        self.failure.add(count);
        self.passive_failure.add(count);
    }

    /// Shows how many endpoints are well.
    pub(super) fn show(&self, cluster: &Cluster) {
        let members = cluster.members.load();
        let count = |flag, has| {
            let checked = members.all.iter().filter(|member| is_wanted(member));
            checked.filter(|member| member.endpoint.standing.has(flag) == has).count() as u64
        };
        self.healthy.set(count(Flag::FailedActiveCheck, false));
        self.degraded.set(count(Flag::DegradedActiveCheck, true));
    }
}
