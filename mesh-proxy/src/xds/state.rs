//! What is in force, what waits, and what is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesh_proto::any;
use mesh_proto::envoy::config::bootstrap::v3 as proto;
use mesh_xds::{Names, ResourceType};
use prost_types::Any;

use super::resource::{Entry, Table, Version};
use super::response::Incoming;
use super::secrets::SecretTables;
use crate::config::{
    AdsSource, Bootstrap, Cluster, Discovery, Listener, LoadAssignment, Name, RouteTable, Secret,
    SecretKey, SecretSource, wire,
};

/// A change of the data plane. A list of them is done in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    PutCluster(Arc<Cluster>),
    RemoveCluster(Name),
    PutEndpoints(Name, Arc<LoadAssignment>),
    /// They are known no longer; clusters keep theirs.
    ForgetEndpoints(Name),
    PutListener(Arc<Listener>),
    RemoveListener(Name),
    PutRoutes(Arc<RouteTable>),
    RemoveRoutes(Name),
    PutSecret(SecretKey, Arc<Secret>),
    /// Nobody asks for it any more.
    RemoveSecret(SecretKey),
}

/// What follows from a response.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) actions: Vec<Action>,
    /// Each resource that was refused, and why. Empty for an ACK.
    pub(crate) refused: Vec<String>,
}

/// How far the start has come, as in Envoy's `ServerInfo.State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Clusters and their endpoints are still missing.
    PreInitializing,
    /// Listeners and their routes are still missing.
    Initializing,
    Live,
}

/// The time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// All resources. See the module.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) ads: Option<AdsSource>,
    pub(super) clusters: Table<Cluster>,
    /// By `service_name`.
    pub(super) endpoints: Table<LoadAssignment>,
    pub(super) listeners: Table<Listener>,
    pub(super) routes: Table<RouteTable>,
    pub(super) secrets: SecretTables,
    /// The static clusters that gRPC may go to.
    pub(super) targets: BTreeSet<Name>,
    pub(super) bootstrap: Arc<Any>,
    pub(super) started: SystemTime,
    pub(super) cluster_fetch: Fetch,
    pub(super) listener_fetch: Fetch,
    clusters_ready: bool,
    is_live: bool,
}

/// The first answer of a whole set.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) is_done: bool,
    /// Done, and not only because it took too long.
    has_come: bool,
    deadline: Option<Instant>,
    pub(super) version: Arc<str>,
}

impl Fetch {
    pub(super) fn answered(&mut self, version: &Arc<str>) {
        self.is_done = true;
        self.has_come = true;
        self.version = Arc::clone(version);
    }

    fn new(timeout: Option<Option<Duration>>, now: Now) -> Self {
        Self {
            is_done: timeout.is_none(),
            has_come: timeout.is_none(),
            deadline: timeout.flatten().map(|timeout| now.instant + timeout),
            version: "".into(),
        }
    }

    fn settle(&mut self, now: Now) {
        self.is_done |= self.deadline.is_some_and(|deadline| deadline <= now.instant);
    }
}

impl State {
    /// The static resources of a file, validated and as they stand there.
    pub(crate) fn new(config: &Bootstrap, file: &proto::Bootstrap, now: Now) -> Self {
        let ads = config.ads.clone();
        let timeout = |subscription: Option<crate::config::Subscription>| {
            subscription.map(|subscription| subscription.initial_fetch_timeout)
        };
        let cluster_fetch = Fetch::new(timeout(ads.as_ref().and_then(|ads| ads.clusters)), now);
        let listener_fetch = Fetch::new(timeout(ads.as_ref().and_then(|ads| ads.listeners)), now);
        let mut state = Self {
            ads,
            clusters: Table::new(),
            endpoints: Table::new(),
            listeners: Table::new(),
            routes: Table::new(),
            secrets: SecretTables::new(),
            targets: config.grpc_targets().map(|cluster| cluster.name.clone()).collect(),
            bootstrap: Arc::new(any::pack(file)),
            started: now.wall,
            cluster_fetch,
            listener_fetch,
            clusters_ready: false,
            is_live: false,
        };
        let resources = file.static_resources.clone().unwrap_or_default();
        let secrets =
            config.secrets.iter().zip(&resources.secrets).map(|((name, secret), file)| {
                let file = any::pack(&wire::redacted(file));
                (name.clone(), static_entry(Arc::clone(secret), file, None, now))
            });
        state.secrets.insert(SecretSource::Static, secrets.collect());
        for (config, wire) in config.clusters.iter().zip(&resources.clusters) {
            let deadline = super::clusters::deadline(config, now);
            state.clusters.insert(
                config.name.clone(),
                static_entry(Arc::clone(config), any::pack(wire), deadline, now),
            );
        }
        for (config, wire) in config.listeners.iter().zip(&resources.listeners) {
            let deadline = super::listeners::deadline(config, now);
            state.listeners.insert(
                config.name.clone(),
                static_entry(Arc::clone(config), any::pack(wire), deadline, now),
            );
        }
        state
    }

    /// Puts in force what need not wait (any longer): call it at the start, and when
    /// [`Self::next_deadline`] has come.
    pub(crate) fn settle(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.settle_secrets(&mut actions);
        self.settle_clusters(now, &mut actions);
        self.cluster_fetch.settle(now);
        self.clusters_ready |= self.cluster_fetch.is_done && !is_warming(&self.clusters);
        self.settle_listeners(now, &mut actions);
        self.listener_fetch.settle(now);
        self.is_live |=
            self.clusters_ready && self.listener_fetch.is_done && !is_warming(&self.listeners);
        actions
    }

    /// When the next version has waited long enough.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let fetches = [&self.cluster_fetch, &self.listener_fetch];
        let fetches = fetches.into_iter().filter(|fetch| !fetch.is_done);
        let clusters = self.clusters.values().filter_map(|entry| entry.warming.as_ref()?.deadline);
        let listeners =
            self.listeners.values().filter_map(|entry| entry.warming.as_ref()?.deadline);
        fetches.filter_map(|fetch| fetch.deadline).chain(clusters).chain(listeners).min()
    }

    /// How far the start has come. What came once is not taken back.
    pub(crate) fn stage(&self) -> Stage {
        match (self.is_live, self.clusters_ready) {
            (true, _) => Stage::Live,
            (false, true) => Stage::Initializing,
            (false, false) => Stage::PreInitializing,
        }
    }

    /// The static cluster that ADS comes from.
    pub(crate) fn ads_cluster(&self) -> Option<&Name> {
        self.ads.as_ref().map(|ads| &ads.cluster)
    }

    /// Whether this configuration may take another process's place: [`Stage::Live`], and the
    /// control plane has said which clusters and listeners there are. One that says nothing
    /// for too long must not take everything away.
    pub(crate) fn is_warm(&self) -> bool {
        self.is_live && self.cluster_fetch.has_come && self.listener_fetch.has_come
    }

    /// Whether dynamic listeners may open: not before the first clusters are there.
    pub(super) fn clusters_ready(&self) -> bool {
        self.clusters_ready
    }

    /// What to ask the control plane for; `None` when this type does not come by ADS.
    pub(crate) fn subscription(&self, resource_type: ResourceType) -> Option<Names> {
        let ads = self.ads.as_ref()?;
        match resource_type {
            ResourceType::Cluster => ads.clusters.map(|_| Names::Wildcard),
            ResourceType::Endpoint => Some(self.service_names().into_iter().collect()),
            ResourceType::Listener => ads.listeners.map(|_| Names::Wildcard),
            ResourceType::Route => Some(self.route_names().into_iter().collect()),
            ResourceType::Secret => {
                let names = self.secret_names().remove(&SecretSource::Ads);
                Some(names.unwrap_or_default().into_keys().map(|name| name.to_string()).collect())
            }
        }
    }

    pub(super) fn service_names(&self) -> BTreeSet<String> {
        let configs = self.clusters.values().flat_map(Entry::configs);
        configs
            .filter_map(|cluster| match &cluster.discovery {
                Discovery::Eds { service_name } => Some(service_name.to_string()),
                _ => None,
            })
            .collect()
    }

    /// What a response brings.
    pub(crate) fn response(
        &mut self,
        resource_type: ResourceType,
        version: &str,
        resources: Vec<Any>,
        now: Now,
    ) -> Outcome {
        let version: Arc<str> = version.into();
        let response = Incoming { version: &version, resources, now };
        let mut outcome = match resource_type {
            ResourceType::Cluster => self.cluster_response(response),
            ResourceType::Endpoint => self.endpoint_response(response),
            ResourceType::Listener => self.listener_response(response),
            ResourceType::Route => self.route_response(response),
            ResourceType::Secret => self.take_secrets(&SecretSource::Ads, response),
        };
        outcome.actions.extend(self.settle(now));
        outcome.actions.extend(self.forget_endpoints());
        outcome.actions.extend(self.forget_routes());
        outcome.actions.extend(self.forget_secrets());
        outcome
    }

    pub(crate) fn clusters(&self) -> &Table<Cluster> {
        &self.clusters
    }

    pub(crate) fn endpoints(&self) -> &Table<LoadAssignment> {
        &self.endpoints
    }

    pub(crate) fn listeners(&self) -> &Table<Listener> {
        &self.listeners
    }

    pub(crate) fn routes(&self) -> &Table<RouteTable> {
        &self.routes
    }

    /// The file, and when it was read.
    pub(crate) fn bootstrap(&self) -> (&Arc<Any>, SystemTime) {
        (&self.bootstrap, self.started)
    }

    /// The versions of the last cluster and listener responses.
    pub(crate) fn versions(&self) -> (&str, &str) {
        (&self.cluster_fetch.version, &self.listener_fetch.version)
    }
}

fn static_entry<T>(config: Arc<T>, wire: Any, deadline: Option<Instant>, now: Now) -> Entry<T> {
    let wire = Arc::new(wire);
    let version = Version { config, version: "".into(), wire, updated: now.wall };
    let warming = Some(super::resource::Warming { version, deadline });
    Entry { is_static: true, warming, ..Entry::default() }
}

fn is_warming<T>(table: &Table<T>) -> bool {
    table.values().any(|entry| entry.warming.is_some())
}
