//! CDS and EDS.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use mesh_proto::envoy::config::cluster::v3::Cluster as WireCluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost_types::Any;

use super::open::open;
use super::resource::Version;
use super::state::{Action, Now, Outcome, Refusals, State};
use crate::config::{Cluster, Discovery, Name, Path, wire};

/// When a cluster stops waiting for its endpoints.
pub(super) fn deadline(cluster: &Cluster, now: Now) -> Option<Instant> {
    cluster.initial_fetch_timeout.map(|timeout| now.instant + timeout)
}

impl State {
    pub(super) fn cluster_response(
        &mut self,
        version: &Arc<str>,
        resources: Vec<Any>,
        now: Now,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut seen: HashSet<Name> = HashSet::new();
        let refusals = Refusals { kind: "cluster", version, now };
        // A resource whose name cannot be read may be any one: then nothing is removed.
        let mut all_named = true;
        for (index, any) in resources.into_iter().enumerate() {
            let (bytes, message) = match open::<WireCluster>(any) {
                Ok(opened) => opened,
                Err(details) => {
                    outcome.refused.push(format!("resource {index}: {details}"));
                    all_named = false;
                    continue;
                }
            };
            let name: Name = message.name.as_str().into();
            let result = match self.clusters.get(&name) {
                _ if !seen.insert(name.clone()) => {
                    Err("is there twice; the first one is taken".to_owned())
                }
                Some(entry) if entry.is_static => {
                    Err("is a static cluster, which ADS cannot change".to_owned())
                }
                _ => wire::cluster(message, &Path::default()).map_err(|error| error.to_string()),
            };
            match result {
                Ok(config) => {
                    let deadline = deadline(&config, now);
                    let version = Version {
                        config: Arc::new(config),
                        version: Arc::clone(version),
                        wire: bytes,
                        updated: now.wall,
                    };
                    self.clusters.entry(name).or_default().take(version, deadline);
                }
                Err(details) => {
                    refusals.refuse(&mut outcome, &mut self.clusters, &name, bytes, details);
                }
            }
        }
        if all_named {
            let actions = &mut outcome.actions;
            self.clusters.retain(|name, entry| {
                let keep = entry.is_static || seen.contains(name);
                if !keep && entry.active.is_some() {
                    actions.push(Action::RemoveCluster(name.clone()));
                }
                keep
            });
        }
        self.cluster_fetch.is_done = true;
        self.cluster_fetch.version = Arc::clone(version);
        outcome
    }

    pub(super) fn endpoint_response(
        &mut self,
        version: &Arc<str>,
        resources: Vec<Any>,
        now: Now,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let wanted = self.service_names();
        let refusals = Refusals { kind: "endpoints of", version, now };
        for (index, any) in resources.into_iter().enumerate() {
            let (bytes, message) = match open::<ClusterLoadAssignment>(any) {
                Ok(opened) => opened,
                Err(details) => {
                    outcome.refused.push(format!("resource {index}: {details}"));
                    continue;
                }
            };
            if !wanted.contains(&message.cluster_name) {
                continue;
            }
            let name: Name = message.cluster_name.as_str().into();
            let config = match wire::load_assignment(message, &Path::default()) {
                Ok(config) => Arc::new(config),
                Err(error) => {
                    let details = error.to_string();
                    refusals.refuse(&mut outcome, &mut self.endpoints, &name, bytes, details);
                    continue;
                }
            };
            let version =
                Version { config, version: Arc::clone(version), wire: bytes, updated: now.wall };
            let entry = self.endpoints.entry(name.clone()).or_default();
            entry.take(version, None);
            // Endpoints wait for nothing.
            let changed = entry.promote().map(|config| Action::PutEndpoints(name, config));
            outcome.actions.extend(changed);
        }
        outcome
    }

    /// Puts clusters in force whose endpoints are known, or have been waited for enough.
    pub(super) fn settle_clusters(&mut self, now: Now, actions: &mut Vec<Action>) {
        for entry in self.clusters.values_mut() {
            let Some(warming) = &entry.warming else { continue };
            let is_warm = match &warming.version.config.discovery {
                Discovery::Eds { service_name } => {
                    self.endpoints.get(service_name).is_some_and(|entry| entry.active.is_some())
                }
                // The start waits for the first answer of DNS.
                Discovery::Static(_) | Discovery::StrictDns { .. } | Discovery::OriginalDst => true,
            };
            if is_warm || entry.is_overdue(now.instant) {
                actions.extend(entry.promote().map(Action::PutCluster));
            }
        }
    }

    /// Forgets endpoints that no cluster asks for. The data plane did so with the cluster.
    pub(super) fn forget_endpoints(&mut self) {
        let wanted = self.service_names();
        self.endpoints.retain(|name, _| wanted.contains(&**name));
    }

    /// Whether there is a cluster of this name, or will be one once it is warm.
    pub(super) fn knows_cluster(&self, name: &str) -> bool {
        self.clusters
            .get(name)
            .is_some_and(|entry| entry.active.is_some() || entry.warming.is_some())
    }
}
