//! LDS and RDS.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mesh_proto::envoy::config::listener::v3::Listener as WireListener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;
use prost_types::Any;

use super::open::open;
use super::resource::{Entry, Version};
use super::state::{Action, Now, Outcome, Refusals, State};
use crate::config::{
    HttpConnectionManager, Listener, Name, NetworkFilter, Path, RouteSource, wire,
};

/// When a listener stops waiting for its route tables: with the most patient of them.
pub(super) fn deadline(listener: &Listener, now: Now) -> Option<Instant> {
    let timeouts = managers_by_rds(listener).map(|(_, manager)| manager.rds_initial_fetch_timeout);
    let longest = timeouts.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten();
    longest.map(|timeout| now.instant + timeout)
}

/// The connection managers whose routes come by RDS, with the names of their tables.
fn managers_by_rds(listener: &Listener) -> impl Iterator<Item = (&Name, &HttpConnectionManager)> {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    chains.filter_map(|chain| match &chain.filter {
        NetworkFilter::Http(manager) => match &manager.routes {
            RouteSource::Rds(name) => Some((name, &**manager)),
            RouteSource::Inline(_) => None,
        },
        NetworkFilter::Tcp(_) => None,
    })
}

impl State {
    pub(super) fn listener_response(
        &mut self,
        version: &Arc<str>,
        resources: Vec<Any>,
        now: Now,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut seen: HashSet<Name> = HashSet::new();
        let refusals = Refusals { kind: "listener", version, now };
        // A resource whose name cannot be read may be any one: then nothing is removed.
        let mut all_named = true;
        for (index, any) in resources.into_iter().enumerate() {
            let (bytes, message) = match open::<WireListener>(any) {
                Ok(opened) => opened,
                Err(details) => {
                    outcome.refused.push(format!("resource {index}: {details}"));
                    all_named = false;
                    continue;
                }
            };
            let name: Name = message.name.as_str().into();
            let result = match self.listeners.get(&name) {
                _ if name.is_empty() => Err("name: missing: it is required".to_owned()),
                _ if !seen.insert(name.clone()) => {
                    Err("is there twice; the first one is taken".to_owned())
                }
                Some(entry) if entry.is_static => {
                    Err("is a static listener, which ADS cannot change".to_owned())
                }
                _ => wire::listener(message, &Path::default(), &|name| self.knows_cluster(name))
                    .map_err(|error| error.to_string()),
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
                    self.listeners.entry(name).or_default().take(version, deadline);
                }
                Err(details) => {
                    refusals.refuse(&mut outcome, &mut self.listeners, &name, bytes, details);
                }
            }
        }
        if all_named {
            let actions = &mut outcome.actions;
            self.listeners.retain(|name, entry| {
                let keep = entry.is_static || seen.contains(name);
                if !keep && entry.active.is_some() {
                    actions.push(Action::RemoveListener(name.clone()));
                }
                keep
            });
        }
        self.listener_fetch.is_done = true;
        self.listener_fetch.version = Arc::clone(version);
        outcome
    }

    pub(super) fn route_response(
        &mut self,
        version: &Arc<str>,
        resources: Vec<Any>,
        now: Now,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let wanted = self.route_names();
        let refusals = Refusals { kind: "route table", version, now };
        for (index, any) in resources.into_iter().enumerate() {
            let (bytes, message) = match open::<RouteConfiguration>(any) {
                Ok(opened) => opened,
                Err(details) => {
                    outcome.refused.push(format!("resource {index}: {details}"));
                    continue;
                }
            };
            if !wanted.contains(&message.name) {
                continue;
            }
            let name: Name = message.name.as_str().into();
            let known = |name: &str| self.knows_cluster(name);
            let config = match wire::route_table(message, &Path::default(), &known) {
                Ok(config) => Arc::new(config),
                Err(error) => {
                    let details = error.to_string();
                    refusals.refuse(&mut outcome, &mut self.routes, &name, bytes, details);
                    continue;
                }
            };
            let version =
                Version { config, version: Arc::clone(version), wire: bytes, updated: now.wall };
            let entry = self.routes.entry(name).or_default();
            entry.take(version, None);
            // A route table waits for nothing.
            outcome.actions.extend(entry.promote().map(Action::PutRoutes));
        }
        outcome
    }

    /// Puts listeners in force whose route tables are known, or have been waited for
    /// enough. Dynamic ones wait for the first clusters, too.
    pub(super) fn settle_listeners(&mut self, now: Now, actions: &mut Vec<Action>) {
        let clusters_ready = self.clusters_ready();
        for entry in self.listeners.values_mut() {
            let Some(warming) = &entry.warming else { continue };
            // In a block of its own: the iterator borrows the entry.
            let is_warm = {
                let mut names = managers_by_rds(&warming.version.config).map(|(name, _)| name);
                names.all(|name| self.routes.get(name).is_some_and(|entry| entry.active.is_some()))
            };
            let is_due = is_warm || entry.is_overdue(now.instant);
            if is_due && (clusters_ready || entry.is_static) {
                actions.extend(entry.promote().map(Action::PutListener));
            }
        }
    }

    /// The data plane did not take a listener, for `details`; what was before is in force.
    pub(crate) fn listener_failed(&mut self, name: &str, details: String, at: SystemTime) {
        if let Some(entry) = self.listeners.get_mut(name) {
            entry.demote(details, at);
        }
    }

    pub(super) fn route_names(&self) -> BTreeSet<String> {
        let configs = self.listeners.values().flat_map(Entry::configs);
        configs.flat_map(managers_by_rds).map(|(name, _)| name.to_string()).collect()
    }

    /// Removes route tables that no listener asks for.
    pub(super) fn forget_routes(&mut self) -> Vec<Action> {
        let wanted = self.route_names();
        let mut actions = Vec::new();
        self.routes.retain(|name, entry| {
            let keep = wanted.contains(&**name);
            if !keep && entry.active.is_some() {
                actions.push(Action::RemoveRoutes(name.clone()));
            }
            keep
        });
        actions
    }
}
