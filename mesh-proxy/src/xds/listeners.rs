//! LDS and RDS.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use mesh_proto::envoy::config::listener::v3::Listener as WireListener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;

use super::clusters::knows_cluster;
use super::resource::Entry;
use super::response::{Incoming, Kind};
use super::secrets;
use super::state::{Action, Now, Outcome, State};
use crate::config::{
    HttpConnectionManager, Listener, Name, NetworkFilter, Path, RouteSource, RouteTable, wire,
};

const LISTENERS: Kind<WireListener, Listener> =
    Kind { label: "listener", name: |message| &message.name, deadline, kept: |wire, _| wire };

const ROUTES: Kind<RouteConfiguration, RouteTable> = Kind {
    label: "route table",
    name: |message| &message.name,
    deadline: |_, _| None,
    kept: |wire, _| wire,
};

/// When a listener stops waiting for its route tables and secrets: with the most patient of
/// them.
pub(super) fn deadline(listener: &Listener, now: Now) -> Option<Instant> {
    let routes = managers_by_rds(listener)
        .map(|(_, manager)| manager.rds_initial_fetch_timeout.map(|timeout| now.instant + timeout));
    secrets::deadline(listener.secrets(), routes, now)
}

/// The connection managers whose routes come by RDS, with the names of their tables.
fn managers_by_rds(listener: &Listener) -> impl Iterator<Item = (&Name, &HttpConnectionManager)> {
    listener.chains().filter_map(|chain| match &chain.filter {
        NetworkFilter::Http(manager) => match &manager.routes {
            RouteSource::Rds(name) => Some((name, &**manager)),
            RouteSource::Inline(_) => None,
        },
        NetworkFilter::Tcp(_) => None,
    })
}

impl State {
    pub(super) fn listener_response(&mut self, response: Incoming<'_>) -> Outcome {
        self.listener_fetch.answered(response.version);
        let known = |name: &str| knows_cluster(&self.clusters, name);
        let sources = wire::SecretSources {
            is_static: &|name, kind| secrets::is_static(&self.secrets, name, kind),
            is_target: &|name| self.targets.contains(name),
            has_ads: self.ads.is_some(),
        };
        let convert = |message| {
            let path = Path::default();
            let listener = wire::listener(message, &path, &known)?;
            sources.check(&path, listener.secrets())?;
            Ok(listener)
        };
        let taken = LISTENERS.take_all(&mut self.listeners, response, convert);
        let actions = taken.result.into_iter().map(Action::RemoveListener).collect();
        Outcome { actions, refused: taken.refused }
    }

    pub(super) fn route_response(&mut self, response: Incoming<'_>) -> Outcome {
        let wanted = self.route_names();
        let known = |name: &str| knows_cluster(&self.clusters, name);
        let convert = |message| wire::route_table(message, &Path::default(), &known);
        let taken = ROUTES.take_wanted(&mut self.routes, &wanted, response, convert);
        let put = |(_, config)| Action::PutRoutes(config);
        Outcome { actions: taken.result.into_iter().map(put).collect(), refused: taken.refused }
    }

    /// Puts listeners in force whose route tables and secrets are known, or have been waited for
    /// enough. Dynamic ones wait for the first clusters, too.
    pub(super) fn settle_listeners(&mut self, now: Now, actions: &mut Vec<Action>) {
        let clusters_ready = self.clusters_ready();
        for entry in self.listeners.values_mut() {
            let Some(warming) = &entry.warming else { continue };
            // In a block of its own: the iterator borrows the entry.
            let is_warm = {
                let mut names = managers_by_rds(&warming.version.config).map(|(name, _)| name);
                names.all(|name| self.routes.get(name).is_some_and(|entry| entry.active.is_some()))
                    && secrets::are_there(&self.secrets, warming.version.config.secrets())
            };
            let is_due = is_warm || entry.is_overdue(now.instant);
            if is_due && (clusters_ready || entry.is_static) {
                actions.extend(entry.propose().map(Action::PutListener));
            }
        }
    }

    /// The data plane did not take a listener, for `details`; what was before is in force.
    pub(crate) fn listener_failed(&mut self, name: &str, details: String, at: SystemTime) {
        if let Some(entry) = self.listeners.get_mut(name) {
            entry.demote(details, at);
        }
    }

    /// The data plane took the other listeners that it was to put in force.
    pub(crate) fn listeners_taken(&mut self) {
        self.listeners.values_mut().for_each(Entry::confirm);
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
