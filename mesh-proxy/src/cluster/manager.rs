//! All clusters, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::Cluster;
use super::discovery::{self, Assignments};
use crate::config::{self, LoadAssignment, Name};
use crate::secrets::Secrets;
use crate::stats::Registry;

type Map = HashMap<Name, Arc<Cluster>, RandomState>;

/// Keeps the clusters. Workers read without a lock; the control side writes.
pub(crate) struct Manager {
    registry: Registry,
    secrets: Arc<Secrets>,
    clusters: ArcSwap<Map>,
    // Held for as long as a change takes: one change at a time.
    assignments: Mutex<Assignments>,
}

impl Manager {
    pub(crate) fn new(registry: Registry, secrets: Arc<Secrets>) -> Self {
        Self { registry, secrets, clusters: ArcSwap::default(), assignments: Mutex::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Cluster>> {
        self.clusters.load().get(name).cloned()
    }

    /// Adds a cluster or replaces the one of its name; does nothing when it is the same.
    /// Endpoints stay with what they count. Call it inside the control side's tokio
    /// runtime, where DNS is asked.
    pub(crate) fn put(&self, config: Arc<config::Cluster>) {
        let assignments = self.lock();
        let old = self.get(&config.name);
        if old.as_ref().is_some_and(|old| old.config == config) {
            return;
        }
        let cluster = Arc::new(Cluster::new(config, &self.registry, &self.secrets, old.as_deref()));
        cluster.detect_outliers();
        cluster.check_health();
        cluster.follow_slow_start();
        cluster.show_breakers();
        discovery::begin(&cluster, &assignments);
        if let Some(old) = old {
            old.retire(Some(&cluster));
            // What was found about its endpoints until now.
            cluster.refresh();
        }
        let name = Arc::clone(&cluster.config.name);
        self.change(|map| _ = map.insert(name, cluster));
    }

    /// Removes a cluster: its idle connections close, requests in flight end well.
    pub(crate) fn remove(&self, name: &str) {
        let _changing = self.lock();
        let Some(old) = self.get(name) else { return };
        self.change(|map| _ = map.remove(name));
        old.retire(None);
    }

    /// Gives the clusters that ask for `service_name` their endpoints, now and when they
    /// come later, until they are [forgotten](Self::forget_endpoints). Nothing happens when
    /// the endpoints are the same.
    pub(crate) fn put_endpoints(&self, service_name: &str, assignment: LoadAssignment) {
        let mut assignments = self.lock();
        for cluster in self.clusters.load().values().filter(|c| asks_for(c, service_name)) {
            cluster.assign_if_new(assignment.clone());
        }
        assignments.put(service_name, assignment);
    }

    /// Keeps endpoints no longer for clusters that might come. Clusters keep theirs.
    pub(crate) fn forget_endpoints(&self, service_name: &str) {
        self.lock().forget(service_name);
    }

    /// Whether the cluster is there and its endpoints are known.
    pub(crate) fn is_warm(&self, name: &str) -> bool {
        self.get(name).is_some_and(|cluster| cluster.is_warm())
    }

    /// The names of all clusters, in order.
    pub(crate) fn names(&self) -> Vec<Name> {
        let mut names: Vec<_> = self.clusters.load().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Shows each cluster, in the order of the names.
    pub(crate) fn visit(&self, see: &mut dyn FnMut(&Cluster)) {
        for name in self.names() {
            if let Some(cluster) = self.get(&name) {
                see(&cluster);
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        let mut map = Map::clone(&self.clusters.load());
        change(&mut map);
        self.clusters.store(Arc::new(map));
    }

    fn lock(&self) -> MutexGuard<'_, Assignments> {
        self.assignments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asks_for(cluster: &Cluster, service_name: &str) -> bool {
    discovery::service_name(&cluster.config).is_some_and(|name| &**name == service_name)
}
