//! How a cluster gets its endpoints.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Cluster, dns};
use crate::config::{self, Discovery, LoadAssignment, Name};

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
/// needs a tokio runtime.
pub(super) fn begin(cluster: &Arc<Cluster>, assignments: &Assignments) {
    match &cluster.config.discovery {
        Discovery::Static(assignment) => cluster.assign(assignment),
        Discovery::Eds { service_name } => {
            if let Some(assignment) = assignments.0.get(service_name) {
                cluster.assign(assignment);
            } else if let Some(timeout) = cluster.config.initial_fetch_timeout {
                tokio::spawn(give_up(Arc::downgrade(cluster), timeout));
            }
        }
        Discovery::StrictDns { names, refresh } => {
            let family = cluster.config.dns_family;
            let cluster = Arc::downgrade(cluster);
            tokio::spawn(dns::resolve(cluster, names.clone(), family, *refresh));
        }
        Discovery::OriginalDst => {}
    }
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
    /// Takes an assignment unless it is what the cluster has.
    pub(super) fn assign_if_new(&self, assignment: LoadAssignment) {
        let members = self.members.load();
        let same = members.all.iter().map(|(_, config)| config).eq(&assignment.endpoints);
        if !same || !self.is_warm() {
            self.assign(&assignment);
        }
    }
}
