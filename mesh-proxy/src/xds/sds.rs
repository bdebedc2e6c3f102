//! The streams of SDS: one to each cluster that secrets come from.

use std::collections::BTreeMap;
use std::future::pending;

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use mesh_xds::client::{Ads, Event, Response, Service};
use mesh_xds::{Names, ResourceType};

use super::grpc::Targets;
use super::secrets::WantedSecrets;
use crate::config::{Name, SecretKind, SecretSource};

/// All of them. A stream is there as long as a secret is asked for.
pub(super) struct Sds {
    targets: Targets,
    streams: BTreeMap<Name, Ads>,
    asked: BTreeMap<Name, BTreeMap<Name, SecretKind>>,
}

impl Sds {
    pub(super) fn new(targets: Targets) -> Self {
        Self { targets, streams: BTreeMap::new(), asked: BTreeMap::new() }
    }

    pub(super) fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Asks for these, and for no others.
    pub(super) fn subscribe(&mut self, names: WantedSecrets) {
        let by_cluster = names.into_iter().filter_map(|(source, names)| match source {
            SecretSource::Grpc(cluster) => Some((cluster, names)),
            SecretSource::Static | SecretSource::Ads => None,
        });
        let asked: BTreeMap<_, _> = by_cluster.collect();
        if asked == self.asked {
            return;
        }
        self.streams.retain(|cluster, _| asked.contains_key(cluster));
        for (cluster, names) in &asked {
            if !self.streams.contains_key(cluster) {
                // A cluster that is none was refused before.
                let Some(config) = self.targets.client(cluster, Service::Secrets) else { continue };
                self.streams.insert(cluster.clone(), Ads::connect(config));
            }
            if let Some(stream) = self.streams.get(cluster) {
                stream.subscribe(
                    ResourceType::Secret,
                    names.keys().map(|name| name.to_string()).collect::<Names>(),
                );
            }
        }
        self.asked = asked;
    }

    /// The next event, with the cluster that it is from. Nothing is lost when the future is
    /// dropped before it is ready.
    pub(super) async fn next(&mut self) -> (Name, Event) {
        let streams = self.streams.iter_mut();
        let all: Vec<_> =
            streams.map(|(name, stream)| next(name.clone(), stream).boxed()).collect();
        match all.is_empty() {
            true => pending().await,
            false => select_all(all).await.0,
        }
    }

    /// ACK, or NACK with what was refused.
    pub(super) fn answer(&self, cluster: &Name, response: &Response, refused: &[String]) {
        let Some(stream) = self.streams.get(cluster) else { return };
        match refused {
            [] => stream.accept(response),
            refused => stream.reject(response, refused.join("; ")),
        }
    }
}

async fn next(name: Name, stream: &mut Ads) -> (Name, Event) {
    (name, stream.next().await)
}
