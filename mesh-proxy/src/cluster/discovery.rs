//! How a cluster gets its endpoints.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Cluster, dns};
use crate::config::{self, Discovery, DnsLookup, LoadAssignment, Name};

/// The assignments that came, by service name, so that a cluster that comes later or is
/// replaced finds its own.
#[derive(Default)]
pub(super) struct Assignments(HashMap<Name, LoadAssignment>);

impl Assignments {
    pub(super) fn put(&mut self, service_name: &str, assignment: LoadAssignment) {
        self.0.insert(service_name.into(), assignment);
    }

    pub(super) fn forget(&mut self, service_name: &str) {
        self.0.remove(service_name);
    }
}

/// Gives a new cluster what is known of its endpoints. Waiting for them, or asking DNS,
/// needs a tokio runtime, and ends when the cluster is retired.
pub(super) fn begin(cluster: &Arc<Cluster>, assignments: &Assignments) {
    let weak = Arc::downgrade(cluster);
    let task = match &cluster.config.discovery {
        Discovery::Static(assignment) => return cluster.assign(assignment),
        Discovery::Eds { service_name } => {
            if let Some(assignment) = assignments.0.get(service_name) {
                return cluster.assign(assignment);
            }
            let Some(timeout) = cluster.config.initial_fetch_timeout else { return };
            tokio::spawn(give_up(weak, timeout))
        }
        Discovery::Dns { names, policy, lookup } => {
            let (names, lookup) = (names.clone(), DnsLookup::clone(lookup));
            tokio::spawn(dns::resolve(weak, dns::Question { names, policy: *policy, lookup }))
        }
        Discovery::OriginalDst | Discovery::Pipe(_) => return,
    };
    // Empty until now: a cluster begins once.
    let _ = cluster.discovering.set(task.abort_handle());
}

/// Lets a cluster count as warm that got no endpoints for so long.
async fn give_up(cluster: Weak<Cluster>, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    if let Some(cluster) = cluster.upgrade()
        && !cluster.is_warm()
    {
        let name = &cluster.config.name;
        tracing::warn!(cluster = %name, "no endpoints came in time; going on without");
        cluster.warm.store(true, Ordering::Release);
    }
}

/// The name under which a cluster asks for its endpoints.
pub(super) fn service_name(cluster: &config::Cluster) -> Option<&Name> {
    match &cluster.discovery {
        Discovery::Eds { service_name } => Some(service_name),
        _ => None,
    }
}

impl Cluster {
    /// Takes an assignment unless it is what the cluster has; tells whether it did.
    pub(super) fn assign_if_new(&self, assignment: LoadAssignment) -> bool {
        let is_new = !self.members.load().are(&assignment) || !self.is_known();
        if is_new {
            self.assign(&assignment);
        }
        is_new
    }
}
