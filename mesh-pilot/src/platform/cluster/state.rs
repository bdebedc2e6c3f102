//! What is known of the cluster, and what of it is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::{Contents, Locality, Service, ServiceName, Workload};
use mesh_rules::Problem;

use super::attached::Ours;
use super::known::{Changed, Known};
use super::written::Written;
use super::{Change, RulesView, Verdict};
use crate::cluster::Unwatched;
use crate::platform::MeshConfig;
use crate::platform::contents::{contents, empty};
use crate::platform::kubernetes::{Aliases, Declared, DeclaredSlice, Pods, Unknown, service};
use crate::platform::rules::Rules;

/// So many pods that changed at once are not looked for one by one in all endpoints.
const MANY: usize = 64;

/// How soon a change must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Requests may go where nobody is in the meantime: at once.
    Removal,
    /// Soon.
    Other,
}

/// The objects of the cluster, and the mesh that they make.
pub(super) struct State {
    mesh: MeshConfig,
    services: Known<Declared>,
    slices: Known<DeclaredSlice>,
    pods: Known<Arc<Workload>>,
    /// Those that say where they stand.
    nodes: Known<Arc<Locality>>,
    written: Written,
    aliases: Aliases,
    /// Of each service.
    slices_of: BTreeMap<ServiceName, BTreeSet<ServiceName>>,
    /// Services with their endpoints; those in `stale` are to be made anew.
    made: BTreeMap<ServiceName, Arc<Service>>,
    stale: BTreeSet<ServiceName>,
    /// Rules, or what they are held against, have changed.
    recheck: bool,
    rules: Rules,
    refused: Vec<Problem>,
    pub(super) rules_view: Arc<RulesView>,
    /// Watches that do not work, by what they watch.
    unwatched: BTreeMap<String, String>,
    contents: Contents,
}

impl State {
    pub(super) fn new(mesh: MeshConfig) -> Self {
        Self {
            contents: empty(&mesh),
            mesh,
            services: Known::new("Service"),
            slices: Known::new("EndpointSlice"),
            pods: Known::new("Pod"),
            nodes: Known::new("Node"),
            written: Written::default(),
            aliases: Aliases::default(),
            slices_of: BTreeMap::new(),
            made: BTreeMap::new(),
            stale: BTreeSet::new(),
            recheck: true,
            rules: Rules::default(),
            refused: Vec::new(),
            rules_view: Arc::default(),
            unwatched: BTreeMap::new(),
        }
    }

    /// Kinds of which not all objects have been seen yet. While there are any, nothing may be
    /// published: what is missing would look as if it had been removed.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let mut missing: Vec<_> = [
            ("Service", self.services.is_complete),
            ("EndpointSlice", self.slices.is_complete),
            ("Pod", self.pods.is_complete),
            ("Node", self.nodes.is_complete),
        ]
        .into_iter()
        .filter(|(_, is_complete)| !is_complete)
        .map(|(kind, _)| kind)
        .collect();
        missing.extend(self.written.missing());
        missing
    }

    /// Takes in a change.
    pub(super) fn take(&mut self, change: Change) -> Urgency {
        match change {
            Change::Services(delta) => {
                let changed = self.services.take(delta);
                self.recheck |= !changed.is_empty();
                self.stale.extend(changed.into_iter().map(|changed| changed.name));
                self.alias();
                Urgency::Other
            }
            Change::Slices(delta) => {
                let changed = self.slices.take(delta);
                changed
                    .into_iter()
                    .map(|changed| self.slice(changed))
                    .min()
                    .unwrap_or(Urgency::Other)
            }
            Change::Pods(delta) => {
                let changed = self.pods.take(delta);
                if changed.len() > MANY {
                    self.stale.extend(self.slices_of.keys().cloned());
                    return Urgency::Removal;
                }
                changed
                    .into_iter()
                    .map(|changed| self.pod(&changed))
                    .min()
                    .unwrap_or(Urgency::Other)
            }
            Change::Nodes(delta) => {
                // Seldom: what else a node says of itself is not looked at.
                if !self.nodes.take(delta).is_empty() {
                    self.stale.extend(self.slices_of.keys().cloned());
                }
                Urgency::Other
            }
            Change::Rules(kind, delta) => {
                self.written.take(kind, delta);
                self.recheck = true;
                Urgency::Other
            }
            Change::Watch(Unwatched { watched, problem }) => {
                match problem {
                    Some(problem) => self.unwatched.insert(watched, problem),
                    None => self.unwatched.remove(&watched),
                };
                Urgency::Other
            }
        }
    }

    /// Whose aliases are others now is to be made anew.
    fn alias(&mut self) {
        let declared = self.services.values();
        let aliases = Aliases::new(declared.filter_map(|declared| declared.alias()));
        self.stale.extend(aliases.differing(&self.aliases).cloned());
        self.aliases = aliases;
    }

    fn slice(&mut self, Changed { name, former }: Changed<DeclaredSlice>) -> Urgency {
        let now = self.slices.get(&name);
        let of = |slice: Option<&DeclaredSlice>| slice.and_then(|slice| slice.service.clone());
        let (service, left) = (of(now), of(former.as_ref()));
        let urgency = removal(former.as_ref(), now);
        if left != service
            && let Some(left) = left
        {
            if let Some(slices) = self.slices_of.get_mut(&left) {
                slices.remove(&name);
                if slices.is_empty() {
                    self.slices_of.remove(&left);
                }
            }
            self.stale.insert(left);
        }
        if let Some(service) = service {
            self.slices_of.entry(service.clone()).or_default().insert(name);
            self.stale.insert(service);
        }
        urgency
    }

    fn pod(&mut self, Changed { name, former }: &Changed<Arc<Workload>>) -> Urgency {
        let now = self.pods.get(name);
        let pods = former.iter().chain(now);
        let addresses: Vec<_> = pods.flat_map(|pod| pod.addresses()).collect();
        for (service, slices) in &self.slices_of {
            // Endpoints of another namespace may be a pod's address all the same.
            let slices = slices.iter().filter_map(|slice| self.slices.get(slice));
            let mut endpoints = slices.flat_map(|slice| &slice.endpoints);
            let own = service.namespace == name.namespace;
            if endpoints.any(|endpoint| {
                let named = own && endpoint.pod.as_ref() == Some(&name.name);
                named || addresses.contains(&endpoint.address)
            }) {
                self.stale.insert(service.clone());
            }
        }
        let is_there = |pod: &Arc<Workload>| !pod.leaving;
        match former.as_ref().is_some_and(is_there) && !now.is_some_and(is_there) {
            true => Urgency::Removal,
            false => Urgency::Other,
        }
    }

    /// What the mesh is now.
    pub(super) fn contents(&mut self) -> &Contents {
        if !self.stale.is_empty() {
            let nodes = self.nodes.entries().map(|(name, node)| (name.name.as_str(), node));
            let pods = Pods::new(self.pods.values(), Unknown::LeftOut).on(nodes);
            for name in std::mem::take(&mut self.stale) {
                let declared = self.services.get(&name).and_then(Declared::service);
                let Some(declared) = declared else {
                    self.made.remove(&name);
                    continue;
                };
                let slices = self.slices_of.get(&name).into_iter().flatten();
                let slices = slices.filter_map(|slice| self.slices.get(slice));
                self.made.insert(name, service(declared, &self.aliases, slices, &pods));
            }
        }
        let services: Vec<_> = self.made.values().cloned().collect();
        let workloads: Vec<_> = self.pods.values().cloned().collect();
        if std::mem::take(&mut self.recheck) {
            self.refused = self.rules.take(self.written.good(), &services);
            self.contents = contents(&self.mesh, services, workloads, &self.rules);
            self.rules_view = Arc::new(self.view_of_rules());
        } else {
            self.contents.services = services;
            self.contents.workloads = workloads;
        }
        &self.contents
    }

    /// Objects that cannot be read, and rules that do not check.
    pub(super) fn refused(&self) -> Vec<Problem> {
        let objects = self.services.problems().chain(self.slices.problems());
        let objects = objects.chain(self.pods.problems()).chain(self.written.problems());
        objects.chain(&self.refused).cloned().collect()
    }

    /// Watches that do not work.
    pub(super) fn unwatched(&self) -> Vec<Problem> {
        let problem = |message: &String| Problem {
            source: String::new(),
            path: String::new(),
            message: message.clone(),
        };
        self.unwatched.values().map(problem).collect()
    }

    fn view_of_rules(&self) -> RulesView {
        let mut refused: BTreeMap<&str, Vec<&Problem>> = BTreeMap::new();
        for problem in &self.refused {
            refused.entry(&problem.source).or_default().push(problem);
        }
        let stored = self.written.stored().map(|(key, stored, _)| (key, stored));
        let ours = Ours::new(self.rules.in_force(), stored);
        let verdicts = self.written.stored().map(|(key, stored, own)| {
            let others = refused.remove(key.to_string().as_str()).unwrap_or_default();
            let problems: Vec<Problem> = own.iter().chain(others).cloned().collect();
            let as_stored = self.rules.get(key).filter(|_| problems.is_empty());
            let parents = ours.parents(key, stored, as_stored);
            (key.clone(), Verdict { stored: stored.clone(), problems, parents })
        });
        RulesView { verdicts: verdicts.collect(), in_force: self.rules.clone() }
    }
}

/// Whether an address that took requests takes none any more.
fn removal(former: Option<&DeclaredSlice>, now: Option<&DeclaredSlice>) -> Urgency {
    let ready = |slice: Option<&DeclaredSlice>| -> BTreeSet<_> {
        let endpoints = slice.into_iter().flat_map(|slice| &slice.endpoints);
        endpoints.filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.address).collect()
    };
    match ready(former).is_subset(&ready(now)) {
        true => Urgency::Other,
        false => Urgency::Removal,
    }
}
