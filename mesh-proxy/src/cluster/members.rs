//! The endpoints of a cluster.

use std::sync::Arc;

use super::{Transports, health};
use crate::config::{self, AssignmentPolicy, LoadAssignment, LoadBalancing};
use crate::endpoint::{Endpoint, Flag, Health, Member};
use crate::load_balancer::Balance;

/// All endpoints, and those that may get requests as the balancer wants them.
#[derive(Default)]
pub(super) struct Members {
    pub(super) all: Vec<Member>,
    policy: AssignmentPolicy,
    pub(super) balance: Balance,
}

impl Members {
    /// These endpoints, those of `old` where they are the same.
    pub(super) fn new(
        assignment: LoadAssignment,
        config: &config::Cluster,
        transports: &Transports,
        old: &Self,
    ) -> Self {
        let mut all: Vec<_> = assignment
            .endpoints
            .into_iter()
            .map(|endpoint| old.member(endpoint, config, transports))
            .collect();
        if config.health_check.is_some() && !config.ignore_health_on_removal {
            let gone = old.all.iter().filter(|member| {
                let address = member.config.address;
                stays(member) && !all.iter().any(|known| known.config.address == address)
            });
            let gone: Vec<_> = gone.cloned().collect();
            gone.iter().for_each(|member| _ = member.endpoint.standing.set(Flag::PendingRemoval));
            all.extend(gone);
        }
        let policy = assignment.policy;
        let balance = Balance::new(&all, &config.lb, &policy, &old.balance);
        Self { all, policy, balance }
    }

    /// The one of this configuration, if there is one, or a new one.
    fn member(
        &self,
        config: config::Endpoint,
        cluster: &config::Cluster,
        transports: &Transports,
    ) -> Member {
        let tls = transports.of(&config.labels);
        let known = || self.all.iter().map(|member| &member.endpoint);
        if let Some(same) = known().find(|endpoint| endpoint.is(&config, tls)) {
            same.standing.clear(Flag::PendingRemoval);
            return Member { endpoint: Arc::clone(same), config };
        }
        let endpoint = Endpoint::new(config.address, tls.cloned(), config.hostname.clone());
        let endpoint = match known().find(|other| other.address == config.address) {
            Some(other) => endpoint.after(other),
            None => endpoint,
        };
        let member = Member { endpoint: Arc::new(endpoint), config };
        if cluster.health_check.is_some() && health::is_wanted(&member) {
            // Until its first check, which may well come before the first request.
            member.endpoint.standing.set(Flag::FailedActiveCheck);
            if cluster.lb.ignore_unchecked {
                member.endpoint.standing.set(Flag::PendingActiveCheck);
            }
        } else if cluster.lb.slow_start.is_some() {
            member.endpoint.standing.begin();
        }
        member
    }

    /// The same, by what is known of their health now.
    pub(super) fn refreshed(&self, lb: &LoadBalancing) -> Self {
        let is_gone =
            |member: &Member| member.endpoint.standing.has(Flag::PendingRemoval) && !stays(member);
        let all: Vec<_> = self.all.iter().filter(|member| !is_gone(member)).cloned().collect();
        let balance = Balance::new(&all, lb, &self.policy, &self.balance);
        Self { all, policy: self.policy, balance }
    }

    /// What they were made of.
    pub(super) fn assignment(&self) -> LoadAssignment {
        let endpoints = self.assigned().cloned().collect();
        LoadAssignment { endpoints, policy: self.policy }
    }

    /// Whether they are made of this.
    pub(super) fn are(&self, assignment: &LoadAssignment) -> bool {
        self.policy == assignment.policy && self.assigned().eq(&assignment.endpoints)
    }

    /// Those that discovery knows.
    fn assigned(&self) -> impl Iterator<Item = &config::Endpoint> {
        let known = |member: &&Member| !member.endpoint.standing.has(Flag::PendingRemoval);
        self.all.iter().filter(known).map(|member| &member.config)
    }

    /// Ends the endpoints of `old` that are not here any more.
    pub(super) fn remove_others(&self, old: &Self) {
        for Member { endpoint, .. } in &old.all {
            if !self.has(endpoint) {
                endpoint.remove();
            }
        }
    }

    /// How many are in this health.
    pub(super) fn count(&self, health: Health) -> u64 {
        self.all.iter().filter(|member| member.health() == health).count() as u64
    }

    pub(super) fn has(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.all.iter().any(|known| Arc::ptr_eq(&known.endpoint, endpoint))
    }
}

/// Whether an endpoint that discovery has removed is still used: its health checks succeed.
fn stays(member: &Member) -> bool {
    let has = |flag| member.endpoint.standing.has(flag);
    health::is_wanted(member) && !has(Flag::FailedActiveCheck)
}
