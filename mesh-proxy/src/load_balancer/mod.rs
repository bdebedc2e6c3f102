//! Which endpoint of a cluster takes the next request.
//!
//! A choice takes no lock. What the workers share (the turn of a round robin, the active
//! requests of an endpoint) are relaxed atomics, so that the policy holds for the process.

mod balance;
mod bounded;
mod hosts;
mod least_request;
mod localities;
mod maglev;
mod priorities;
mod priority_load;
mod ring_hash;
mod round_robin;
mod subsets;
mod table;
mod turn;
mod weights;

pub(crate) use balance::Balance;
pub(crate) use subsets::Way;

use std::sync::Arc;

use crate::config::{Labels, LbPolicy};
use crate::endpoint::Endpoint;
use hosts::Hosts;
use priorities::Priorities;
use table::TableStats;

/// How often a retry looks for an endpoint that it has not tried.
const OTHER_HOST_ATTEMPTS: u32 = 5;

/// What a choice depends on besides the endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// The ids of endpoints to avoid if there are others.
    pub(crate) tried: &'a [u64],
    /// For policies that hash; without one they choose at random.
    pub(crate) hash: Option<u64>,
    /// The subset that is asked for.
    pub(crate) subset: Option<&'a Labels>,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Picked<'h> {
    /// `None` when there is no endpoint at all.
    pub(crate) endpoint: Option<&'h Arc<Endpoint>>,
    /// Too few are healthy: it may be any (Envoy's `lb_healthy_panic`).
    pub(crate) panic: bool,
}

/// An endpoint of `hosts`, if possible not one of `tried`; `None` when there is none at all.
fn pick<'h>(policy: &LbPolicy, hosts: &'h Hosts, tried: &[u64]) -> Option<&'h Arc<Endpoint>> {
    let mut picked = pick_any(policy, hosts)?;
    for _ in 0..OTHER_HOST_ATTEMPTS {
        if !tried.contains(&picked.id) {
            return Some(picked);
        }
        picked = pick_any(policy, hosts)?;
    }
    // One that refuses everything has the fewest requests and is picked again and again.
    Some(hosts.draw_but(tried).unwrap_or(picked))
}

fn pick_any<'h>(policy: &LbPolicy, hosts: &'h Hosts) -> Option<&'h Arc<Endpoint>> {
    match hosts.all() {
        [] => None,
        [only] => Some(&only.endpoint),
        _ => Some(match policy {
            LbPolicy::RoundRobin => round_robin::pick(hosts),
            LbPolicy::LeastRequest(settings) => least_request::pick(hosts, settings),
            // Those that hash have tables, and no hosts as these.
            LbPolicy::Random
            | LbPolicy::ClusterProvided
            | LbPolicy::RingHash(_)
            | LbPolicy::Maglev { .. } => hosts.draw(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::hosts::test_hosts;
    use super::*;
    use crate::config::LeastRequest;

    #[test]
    fn a_retry_does_not_go_back_to_the_idlest() {
        let policy = LbPolicy::LeastRequest(LeastRequest::default());
        let hosts = test_hosts(&[1, 1]);
        let [idle, busy] = [0, 1].map(|at| &hosts.all()[at].endpoint);
        busy.test_active_requests(10);
        assert_eq!(pick(&policy, &hosts, &[]).unwrap().id, idle.id);
        assert_eq!(pick(&policy, &hosts, &[idle.id]).unwrap().id, busy.id);
        assert!(pick(&policy, &hosts, &[idle.id, busy.id]).is_some(), "better than none");
    }
}
