//! The loop between the control plane and the data plane.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use mesh_xds::client::{Ads, Event, Response, Service};
use mesh_xds::{Names, ResourceType};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::grpc::Targets;
use super::sds::Sds;
use super::state::{Action, Now, Outcome, State};
use crate::config::{Name, SecretSource};
use crate::server::{DataPlane, ListenerError};
use crate::stats::{Counter, Level, Registry};

/// How long the start waits for the first answer of DNS.
const DNS_AT_START: Duration = Duration::from_secs(5);
const DNS_POLL: Duration = Duration::from_millis(5);

/// Carries out what [`State`] decides. Lives on the control thread.
pub(crate) struct Control {
    state: Arc<Mutex<State>>,
    data_plane: DataPlane,
    ads: Option<Ads>,
    sds: Sds,
    subscribed: HashMap<ResourceType, Names>,
    stats: Stats,
    drain_time: Duration,
    warm: watch::Sender<bool>,
}

/// What is counted of it, under Envoy's names.
struct Stats {
    connected: Level,
    attempts: Counter,
    updates: [(ResourceType, Counter, Counter); 5],
    active_clusters: Level,
    warming_clusters: Level,
    warming_listeners: Level,
}

impl Stats {
    fn new(registry: &Registry) -> Self {
        let update = |resource_type, prefix: &str| {
            let counter = |name: &str| registry.counter(&format!("{prefix}.{name}"));
            (resource_type, counter("update_success"), counter("update_rejected"))
        };
        Self {
            connected: registry.level("control_plane.connected_state"),
            attempts: registry.counter("control_plane.connect_attempt"),
            updates: [
                update(ResourceType::Cluster, "cluster_manager.cds"),
                update(ResourceType::Endpoint, "cluster_manager.eds"),
                update(ResourceType::Listener, "listener_manager.lds"),
                update(ResourceType::Route, "listener_manager.rds"),
                update(ResourceType::Secret, "sds"),
            ],
            active_clusters: registry.level("cluster_manager.active_clusters"),
            warming_clusters: registry.level("cluster_manager.warming_clusters"),
            warming_listeners: registry.level("listener_manager.total_listeners_warming"),
        }
    }

    fn count(&self, resource_type: ResourceType, accepted: bool) {
        for (of, success, rejected) in &self.updates {
            if *of == resource_type {
                if accepted { success.inc() } else { rejected.inc() }
            }
        }
    }

    fn read(&self, state: &State) {
        let (active, warming) = super::resource::counts(state.clusters());
        self.active_clusters.set(active);
        self.warming_clusters.set(warming);
        let (_, warming) = super::resource::counts(state.listeners());
        self.warming_listeners.set(warming);
    }
}

impl Control {
    /// Puts the static resources in force, clusters before listeners, and begins to ask
    /// the control plane for the others. On an error a part of them may be in force.
    pub(crate) async fn start(
        data_plane: DataPlane,
        state: Arc<Mutex<State>>,
        targets: Targets,
        drain_time: Duration,
    ) -> Result<Self, ListenerError> {
        let stats = Stats::new(&data_plane.shared().registry);
        let subscribed = HashMap::new();
        let (warm, _) = watch::channel(false);
        let sds = Sds::new(targets);
        let mut control =
            Self { state, data_plane, ads: None, sds, subscribed, stats, drain_time, warm };
        let (listeners, others): (Vec<_>, Vec<_>) = control
            .lock()
            .settle(Now::read())
            .into_iter()
            .partition(|action| matches!(action, Action::PutListener(_)));
        control.apply(others);
        control.resolve_names().await;
        match control.apply(listeners).into_iter().next() {
            Some(error) => return Err(error),
            None => control.ads = control.connect(),
        }
        control.subscribe();
        control.publish();
        Ok(control)
    }

    /// Begins to ask for what comes by ADS.
    fn connect(&self) -> Option<Ads> {
        let state = self.lock();
        let cluster = state.ads_cluster()?;
        self.sds.targets().client(cluster, Service::Aggregated).map(Ads::connect)
    }

    /// [`State::is_warm`].
    pub(crate) fn warm(&self) -> watch::Receiver<bool> {
        self.warm.subscribe()
    }

    fn publish(&self) {
        let state = self.lock();
        self.stats.read(&state);
        self.warm.send_replace(state.is_warm());
    }

    /// Waits for the first answer of DNS, which may also be that there is no such name, and
    /// the first of health checks.
    async fn resolve_names(&self) {
        let shared = self.data_plane.shared();
        let asking = self.lock().clusters_that_ask();
        let all = async {
            for name in asking {
                while !shared.clusters.is_warm(&name) {
                    tokio::time::sleep(DNS_POLL).await;
                }
            }
        };
        // What is not there by then comes later.
        let _ = tokio::time::timeout(DNS_AT_START, all).await;
    }

    /// Follows the control plane. Ends only when dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let deadline = self.lock().next_deadline();
            tokio::select! {
                event = next(&mut self.ads) => self.event(event),
                (cluster, event) = self.sds.next() => self.secret_event(&cluster, event),
                () = sleep_until(deadline) => {
                    let now = Now::read();
                    let actions = self.lock().settle(now);
                    for error in self.apply(actions) {
                        warn!("{error}");
                    }
                    self.subscribe();
                }
            }
            self.publish();
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                info!("connected to the control plane");
                self.stats.attempts.inc();
                self.stats.connected.set(1);
            }
            Event::Disconnected { error, retry_in } => {
                warn!(
                    "no control plane, the last configuration stays: {error}; next attempt in {retry_in:?}"
                );
                // Otherwise it is a connection that ended, which was counted before.
                if self.stats.connected.value() == 0 {
                    self.stats.attempts.inc();
                }
                self.stats.connected.set(0);
            }
            Event::Response(response) => self.response(response),
        }
    }

    /// An event of SDS by itself.
    fn secret_event(&mut self, cluster: &Name, event: Event) {
        let mut response = match event {
            Event::Connected => return info!(%cluster, "connected for secrets"),
            Event::Disconnected { error, retry_in } => {
                return warn!(
                    %cluster,
                    "no secrets, the last ones stay: {error}; next attempt in {retry_in:?}"
                );
            }
            Event::Response(response) => response,
        };
        let resources = std::mem::take(&mut response.resources);
        let source = SecretSource::Grpc(cluster.clone());
        let outcome =
            self.lock().secret_response(&source, &response.version, resources, Now::read());
        let refused = self.carry_out(outcome);
        self.stats.count(ResourceType::Secret, refused.is_empty());
        if !refused.is_empty() {
            warn!(%cluster, version = response.version, "SDS: refused: {}", refused.join("; "));
        }
        self.sds.answer(cluster, &response, &refused);
    }

    /// Changes the data plane, then asks for what is needed next, before the answer tells the
    /// server. Gives what was refused, and why.
    fn carry_out(&mut self, outcome: Outcome) -> Vec<String> {
        let mut refused = outcome.refused;
        let failed = self.apply(outcome.actions);
        refused.extend(failed.iter().map(ListenerError::to_string));
        self.subscribe();
        refused
    }

    fn response(&mut self, mut response: Response) {
        let resource_type = response.resource_type;
        let resources = std::mem::take(&mut response.resources);
        let count = resources.len();
        let outcome =
            self.lock().response(resource_type, &response.version, resources, Now::read());
        debug!(
            version = response.version,
            resources = count,
            changes = outcome.actions.len(),
            "{resource_type}"
        );
        let refused = self.carry_out(outcome);
        self.stats.count(resource_type, refused.is_empty());
        let Some(ads) = &self.ads else { return };
        if refused.is_empty() {
            ads.accept(&response);
        } else {
            let message = refused.join("; ");
            warn!(version = response.version, "{resource_type}: refused: {message}");
            ads.reject(&response, message);
        }
    }

    /// Changes the data plane; gives the listeners that it did not take.
    fn apply(&self, actions: Vec<Action>) -> Vec<ListenerError> {
        let shared = self.data_plane.shared();
        let mut listeners = Vec::new();
        for action in actions {
            match action {
                Action::PutCluster(config) => shared.clusters.put(config),
                Action::RemoveCluster(name) => shared.clusters.remove(&name),
                Action::PutEndpoints(name, assignment) => {
                    shared.clusters.put_endpoints(&name, (*assignment).clone());
                }
                Action::ForgetEndpoints(name) => shared.clusters.forget_endpoints(&name),
                Action::PutRoutes(config) => shared.routes.put(config),
                Action::RemoveRoutes(name) => self.remove_routes_later(name),
                Action::PutSecret(key, secret) => shared.secrets.put(&key, secret),
                Action::RemoveSecret(key) => shared.secrets.remove(&key),
                Action::RemoveListener(name) => self.data_plane.remove_listener(&name),
                // Together, at the end: one may take the address of another.
                Action::PutListener(config) => listeners.push(config),
            }
        }
        if listeners.is_empty() {
            return Vec::new();
        }
        let failed = self.data_plane.put_listeners(listeners);
        let mut state = self.lock();
        for error in &failed {
            state.listener_failed(error.name(), error.to_string(), SystemTime::now());
        }
        state.listeners_taken();
        failed
    }

    /// Connections of a removed listener look for its routes for as long as they drain.
    fn remove_routes_later(&self, name: Name) {
        let (state, shared) = (Arc::clone(&self.state), Arc::clone(self.data_plane.shared()));
        let drain_time = self.drain_time;
        tokio::spawn(async move {
            tokio::time::sleep(drain_time).await;
            // Unless somebody asked for them again.
            if !lock(&state).routes().contains_key(&name) {
                shared.routes.remove(&name);
            }
        });
    }

    /// Asks for what is needed now, in the order of ADS.
    fn subscribe(&mut self) {
        let names = self.lock().secret_names();
        self.sds.subscribe(names);
        let Some(ads) = &self.ads else { return };
        for resource_type in ResourceType::ALL {
            let Some(names) = lock(&self.state).subscription(resource_type) else { continue };
            let before = self.subscribed.get(&resource_type);
            // To ask for nothing for the first time is not to ask.
            if before == Some(&names) || (before.is_none() && names.is_empty()) {
                continue;
            }
            ads.subscribe(resource_type, names.clone());
            self.subscribed.insert(resource_type, names);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn next(ads: &mut Option<Ads>) -> Event {
    match ads {
        Some(ads) => ads.next().await,
        None => pending().await,
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(Instant::from_std(deadline)).await,
        None => pending().await,
    }
}
