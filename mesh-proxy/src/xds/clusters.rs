//! CDS and EDS.

use std::time::Instant;

use mesh_proto::envoy::config::cluster::v3::Cluster as WireCluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;

use super::resource::Table;
use super::response::{Incoming, Kind};
use super::secrets;
use super::state::{Action, Now, Outcome, State};
use crate::config::{Cluster, Discovery, LoadAssignment, Name, Path, wire};

const CLUSTERS: Kind<WireCluster, Cluster> =
    Kind { label: "cluster", name: |message| &message.name, deadline, kept: |wire, _| wire };

const ENDPOINTS: Kind<ClusterLoadAssignment, LoadAssignment> = Kind {
    label: "endpoints of",
    name: |message| &message.cluster_name,
    deadline: |_, _| None,
    kept: |wire, _| wire,
};

/// When a cluster stops waiting for its endpoints and secrets: with the most patient of them.
pub(super) fn deadline(cluster: &Cluster, now: Now) -> Option<Instant> {
    let endpoints = match cluster.discovery {
        Discovery::Eds { .. } => {
            Some(cluster.initial_fetch_timeout.map(|timeout| now.instant + timeout))
        }
        _ => None,
    };
    secrets::deadline(cluster.transports.secrets(), endpoints.into_iter(), now)
}

impl State {
    /// The clusters in force that find out for themselves which endpoints there are, or which
    /// are healthy. One that waits for its secrets asks nobody.
    pub(super) fn clusters_that_ask(&self) -> Vec<Name> {
        let asks = |config: &Cluster| {
            config.health_check.is_some() || matches!(config.discovery, Discovery::Dns { .. })
        };
        let active = self.clusters().iter().filter_map(|(name, entry)| {
            let version = entry.active.as_ref()?;
            asks(&version.config).then(|| name.clone())
        });
        active.collect()
    }

    pub(super) fn cluster_response(&mut self, response: Incoming<'_>) -> Outcome {
        self.cluster_fetch.answered(response.version);
        let sources = wire::SecretSources {
            is_static: &|name, kind| secrets::is_static(&self.secrets, name, kind),
            is_target: &|name| self.targets.contains(name),
            has_ads: self.ads.is_some(),
        };
        let convert = |message| {
            let path = Path::default();
            let cluster = wire::cluster(message, &path)?;
            if matches!(cluster.discovery, Discovery::Pipe(_)) {
                return Err(path.error("found a pipe, which only a static cluster may have"));
            }
            sources.check(&path, cluster.transports.secrets())?;
            Ok(cluster)
        };
        let taken = CLUSTERS.take_all(&mut self.clusters, response, convert);
        let actions = taken.result.into_iter().map(Action::RemoveCluster).collect();
        Outcome { actions, refused: taken.refused }
    }

    pub(super) fn endpoint_response(&mut self, response: Incoming<'_>) -> Outcome {
        let wanted = self.service_names();
        let convert = |message| wire::load_assignment(message, &Path::default());
        let taken = ENDPOINTS.take_wanted(&mut self.endpoints, &wanted, response, convert);
        let put = |(name, config)| Action::PutEndpoints(name, config);
        Outcome { actions: taken.result.into_iter().map(put).collect(), refused: taken.refused }
    }

    /// Puts clusters in force whose endpoints and secrets are known, or have been waited for enough.
    pub(super) fn settle_clusters(&mut self, now: Now, actions: &mut Vec<Action>) {
        for entry in self.clusters.values_mut() {
            let Some(warming) = &entry.warming else { continue };
            let is_warm = match &warming.version.config.discovery {
                Discovery::Eds { service_name } => {
                    self.endpoints.get(service_name).is_some_and(|entry| entry.active.is_some())
                }
                // The start waits for the first answer of DNS.
                Discovery::Static(_)
                | Discovery::Dns { .. }
                | Discovery::OriginalDst
                | Discovery::Pipe(_) => true,
            };
            let has_secrets =
                secrets::are_there(&self.secrets, warming.version.config.transports.secrets());
            if (is_warm && has_secrets) || entry.is_overdue(now.instant) {
                actions.extend(entry.promote().map(Action::PutCluster));
            }
        }
    }

    /// Forgets endpoints that no cluster asks for.
    pub(super) fn forget_endpoints(&mut self) -> Vec<Action> {
        let wanted = self.service_names();
        let mut actions = Vec::new();
        self.endpoints.retain(|name, entry| {
            let keep = wanted.contains(&**name);
            if !keep && entry.active.is_some() {
                actions.push(Action::ForgetEndpoints(name.clone()));
            }
            keep
        });
        actions
    }
}

/// Whether there is a cluster of this name, or will be one once it is warm.
pub(super) fn knows_cluster(clusters: &Table<Cluster>, name: &str) -> bool {
    clusters.get(name).is_some_and(|entry| entry.active.is_some() || entry.warming.is_some())
}
