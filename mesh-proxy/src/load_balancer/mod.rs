//! Which endpoint of a cluster takes the next request.
//!
//! A choice takes no lock. What the workers share (the turn of a round robin, the active
//! requests of an endpoint) are relaxed atomics, so that the policy holds for the process.

mod hosts;
mod least_request;
mod round_robin;

pub(crate) use hosts::{Host, Hosts};

use std::sync::Arc;

use crate::config::LbPolicy;
use crate::endpoint::Endpoint;
use round_robin::RoundRobin;

/// How often a retry looks for an endpoint that it has not tried.
const OTHER_HOST_ATTEMPTS: u32 = 5;

/// A load balancing policy with its state.
#[derive(Debug)]
pub(crate) enum Balancer {
    RoundRobin(RoundRobin),
    LeastRequest { choices: u32 },
    Random,
}

impl Balancer {
    /// The balancer of `policy`. A cluster that provides its own endpoint needs none;
    /// it gets the simplest.
    pub(crate) fn new(policy: LbPolicy) -> Self {
        match policy {
            LbPolicy::RoundRobin => Self::RoundRobin(RoundRobin::new()),
            LbPolicy::LeastRequest { choice_count } => {
                Self::LeastRequest { choices: choice_count.max(1) }
            }
            LbPolicy::Random | LbPolicy::ClusterProvided => Self::Random,
        }
    }

    /// An endpoint of `hosts`, if possible not one of `tried`; `None` when there is none
    /// at all.
    pub(crate) fn pick<'h>(&self, hosts: &'h Hosts, tried: &[u64]) -> Option<&'h Arc<Endpoint>> {
        let mut picked = self.pick_any(hosts)?;
        for _ in 0..OTHER_HOST_ATTEMPTS {
            if !tried.contains(&picked.id) {
                return Some(picked);
            }
            picked = self.pick_any(hosts)?;
        }
        // One that refuses everything has the fewest requests and is picked again and again.
        Some(hosts.draw_but(tried).unwrap_or(picked))
    }

    fn pick_any<'h>(&self, hosts: &'h Hosts) -> Option<&'h Arc<Endpoint>> {
        match hosts.all() {
            [] => None,
            [only] => Some(&only.endpoint),
            _ => Some(match self {
                Self::RoundRobin(turns) => turns.pick(hosts),
                Self::LeastRequest { choices } => least_request::pick(hosts, *choices),
                Self::Random => hosts.draw(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hosts::test_hosts;
    use super::*;

    #[test]
    fn a_retry_does_not_go_back_to_the_idlest() {
        let balancer = Balancer::new(LbPolicy::LeastRequest { choice_count: 2 });
        let hosts = test_hosts(&[1, 1]);
        let [idle, busy] = [0, 1].map(|at| &hosts.all()[at].endpoint);
        busy.test_active_requests(10);
        assert_eq!(balancer.pick(&hosts, &[]).unwrap().id, idle.id);
        assert_eq!(balancer.pick(&hosts, &[idle.id]).unwrap().id, busy.id);
        assert!(balancer.pick(&hosts, &[idle.id, busy.id]).is_some(), "better than none");
    }
}
