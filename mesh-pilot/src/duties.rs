//! What one pilot does for all of a cluster.

use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_runtime::drain::Watcher;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ca::{self, Ca};
use crate::gateway;
use crate::leader::{Election, Leadership};
use crate::webhook::{Configurations, Settings, keep_ca_bundle};

/// A pilot's part in what one of them does for all.
pub struct Duties {
    client: kube::Client,
    configurations: Configurations,
    /// Of the pilots of one revision.
    own: (Election, Leadership),
    /// Of the pilots of all revisions, which have one authority.
    all: (Election, Leadership),
}

impl Duties {
    /// Of the pilot `me`, of the control plane whose Service is `service`.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        revision: &str,
        service: &str,
        me: &str,
    ) -> Self {
        let lease = format!("{service}-leader");
        Self {
            configurations: Configurations::new(revision, namespace),
            own: Election::new(client.clone(), namespace, &lease, me),
            all: Election::new(client.clone(), namespace, "mesh-ca-leader", me),
            client,
        }
    }

    /// Whether this pilot acts for those of its revision.
    pub fn leadership(&self) -> Leadership {
        self.own.1.clone()
    }

    /// Does them for the mesh of `snapshots`, until the drain begins, each while it is this
    /// pilot's turn; gateways are made of what `settings` say. The work ends when what is
    /// returned is dropped.
    pub(crate) fn start(
        self,
        ca: &Ca,
        drain: &Watcher,
        servers: &mut JoinSet<anyhow::Result<()>>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        settings: watch::Receiver<Settings>,
    ) -> JoinSet<()> {
        let Self { client, configurations, own: (own, leads), all: (all, leads_all) } = self;
        for election in [own, all] {
            let drain = drain.clone();
            servers.spawn(async move {
                election.run(drain).await;
                Ok(())
            });
        }
        let mut work = JoinSet::new();
        let gateways = leads.clone();
        work.spawn(gateway::run(client.clone(), gateways, snapshots, settings));
        work.spawn(ca::publish_roots(client.clone(), leads_all, ca.trust()));
        work.spawn(keep_ca_bundle(client, configurations, leads.receiver(), ca.trust()));
        work
    }
}
