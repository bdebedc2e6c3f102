//! The endpoints of a cluster.

use std::sync::Arc;

use super::Transports;
use crate::config::{self, AssignmentPolicy, LoadAssignment, LoadBalancing};
use crate::endpoint::{Endpoint, Health, Member};
use crate::load_balancer::Priorities;

/// All endpoints, and those that may get requests as the balancer wants them.
#[derive(Default)]
pub(super) struct Members {
    pub(super) all: Vec<Member>,
    policy: AssignmentPolicy,
    pub(super) priorities: Priorities,
}

impl Members {
    /// These endpoints, those of `old` where they are the same.
    pub(super) fn new(
        assignment: LoadAssignment,
        lb: &LoadBalancing,
        transports: &Transports,
        old: &Self,
    ) -> Self {
        let member = |config: config::Endpoint| {
            let tls = transports.of(&config.labels);
            let known = old.all.iter().map(|member| &member.endpoint);
            let known = known.into_iter().find(|endpoint| endpoint.is(&config, tls)).cloned();
            let new = || {
                let endpoint = Endpoint::new(config.address, tls.cloned(), config.hostname.clone());
                let mut others = old.all.iter().map(|member| &member.endpoint);
                match others.find(|other| other.address == config.address) {
                    Some(other) => endpoint.after(other),
                    None => endpoint,
                }
            };
            Member { endpoint: known.unwrap_or_else(|| Arc::new(new())), config }
        };
        let all: Vec<_> = assignment.endpoints.into_iter().map(member).collect();
        let policy = assignment.policy;
        let priorities = Priorities::new(all.iter(), lb, &policy, Some(&old.priorities));
        Self { all, policy, priorities }
    }

    /// The same, by what is known of their health now.
    pub(super) fn refreshed(&self, lb: &LoadBalancing) -> Self {
        let Self { all, policy, priorities } = self;
        let priorities = Priorities::new(all.iter(), lb, policy, Some(priorities));
        Self { all: all.clone(), policy: *policy, priorities }
    }

    /// What they were made of.
    pub(super) fn assignment(&self) -> LoadAssignment {
        let endpoints = self.all.iter().map(|member| member.config.clone()).collect();
        LoadAssignment { endpoints, policy: self.policy }
    }

    /// Whether they are made of this.
    pub(super) fn are(&self, assignment: &LoadAssignment) -> bool {
        let endpoints = self.all.iter().map(|member| &member.config);
        self.policy == assignment.policy && endpoints.eq(&assignment.endpoints)
    }

    /// How many are in this health.
    pub(super) fn count(&self, health: Health) -> u64 {
        self.all.iter().filter(|member| member.health() == health).count() as u64
    }

    pub(super) fn has(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.all.iter().any(|known| Arc::ptr_eq(&known.endpoint, endpoint))
    }
}
