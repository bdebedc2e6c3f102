use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::resources::{EncodedResource, ResourceMap, Resources, content_hash};
use crate::{Names, ResourceType};

/// How long a response that is not answered holds up the next of its type, and the listeners
/// and routes.
pub const MAX_WAIT: Duration = Duration::from_secs(5);

/// What a client said of the last response of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent.
    NotSent,
    /// It has not answered.
    Unanswered {
        /// When the response was sent.
        since: Instant,
    },
    /// ACK; or nothing had to be sent because the client came with what it would be sent.
    Acked,
    /// NACK.
    Rejected {
        /// The client's words.
        error: String,
    },
}

/// What is known of one type in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The answer to the last response.
    pub state: State,
    /// The version last sent; empty before it.
    pub sent_version: String,
    /// The version last acknowledged; empty before it.
    pub acked_version: String,
    /// How many resources the client has been sent and not been told to forget.
    pub resources: usize,
}

/// One type in one stream.
#[derive(Debug)]
pub(super) struct Subscription {
    resource_type: ResourceType,
    names: Names,
    /// What the client has been sent, whether it took it or not.
    sent: ResourceMap,
    /// Names were newly asked for: an answer is due, even an empty one.
    owed: bool,
    /// What the client had when it came, until the first resources are compared with it.
    brought: Option<String>,
    nonce: String,
    status_state: State,
    sent_version: String,
    acked_version: String,
}

/// What a request meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Stale,
    Asked,
    Acked,
    Rejected { error: String },
}

impl Subscription {
    /// From the first request for a type in a stream.
    pub(super) fn new(resource_type: ResourceType, request: &DiscoveryRequest) -> Self {
        let version = request.version_info.clone();
        Self {
            resource_type,
            // Envoy and gRPC ask for all clusters and listeners with an empty list.
            names: match request.resource_names.is_empty() && resource_type.is_whole_set() {
                true => Names::Wildcard,
                false => wanted(&request.resource_names),
            },
            sent: ResourceMap::new(),
            owed: true,
            brought: (!version.is_empty()).then_some(version),
            nonce: String::new(),
            status_state: State::NotSent,
            sent_version: String::new(),
            acked_version: String::new(),
        }
    }

    /// A further request.
    pub(super) fn request(&mut self, request: &DiscoveryRequest) -> Meaning {
        if request.response_nonce != self.nonce {
            // The answer to our latest response is still to come, with the latest names.
            return Meaning::Stale;
        }
        let meaning = self.verdict(request);
        // An empty list goes on asking for everything, or gives up everything.
        if self.names != Names::Wildcard || !request.resource_names.is_empty() {
            self.ask(wanted(&request.resource_names));
        }
        meaning
    }

    fn verdict(&mut self, request: &DiscoveryRequest) -> Meaning {
        if !matches!(self.status_state, State::Unanswered { .. }) {
            return Meaning::Asked;
        }
        if let Some(error) = &request.error_detail {
            let error = error.message.clone();
            self.status_state = State::Rejected { error: error.clone() };
            return Meaning::Rejected { error };
        }
        if request.version_info == self.sent_version {
            self.acked_version.clone_from(&self.sent_version);
            self.status_state = State::Acked;
            return Meaning::Acked;
        }
        // The nonce alone is only a change of names.
        Meaning::Asked
    }

    fn ask(&mut self, names: Names) {
        self.owed |= match (&names, &self.names) {
            (Names::Wildcard, Names::Wildcard) => false,
            (Names::Wildcard, Names::Only(_)) => true,
            (Names::Only(new), old) => new.iter().any(|name| !old.contains(name)),
        };
        self.sent.retain(|name, _| names.contains(name));
        self.names = names;
    }

    /// What the client should have; `keep` is for clusters that something may still lead to.
    fn target(&self, resources: &Resources, keep: bool) -> ResourceMap {
        let all = resources.get(self.resource_type);
        let mut target: ResourceMap = match &self.names {
            Names::Wildcard => all.clone(),
            Names::Only(names) => names.iter().filter_map(|name| self.named(all, name)).collect(),
        };
        if keep {
            for (name, resource) in &self.sent {
                target.entry(name.clone()).or_insert_with(|| resource.clone());
            }
        }
        target
    }

    fn named(&self, all: &ResourceMap, name: &str) -> Option<(Arc<str>, Arc<EncodedResource>)> {
        if let Some((name, resource)) = all.get_key_value(name).or(self.last(name)) {
            return Some((name.clone(), resource.clone()));
        }
        let empty = (self.resource_type == ResourceType::Endpoint).then(|| {
            let cluster_name = name.to_owned();
            ClusterLoadAssignment { cluster_name, ..Default::default() }
        })?;
        Some((name.into(), Arc::new(EncodedResource::new(name, &empty))))
    }

    /// Endpoints and routes that are gone while still asked for stay as they were: the
    /// cluster or listener that asks for them is on its way out, and may be in use until then.
    fn last(&self, name: &str) -> Option<(&Arc<str>, &Arc<EncodedResource>)> {
        (!self.resource_type.is_whole_set()).then(|| self.sent.get_key_value(name)).flatten()
    }

    /// Whether something is to be sent.
    pub(super) fn is_due(&mut self, resources: &Resources, keep: bool) -> bool {
        if let Some(brought) = self.brought.take() {
            self.compare_with(brought, self.target(resources, keep));
        }
        self.owed || !self.is_current(resources, keep)
    }

    /// The client came with a version: when it is the one it would be sent, it has that.
    fn compare_with(&mut self, brought: String, target: ResourceMap) {
        if brought != version(&target) {
            return;
        }
        self.sent = target;
        self.owed = false;
        self.status_state = State::Acked;
        self.sent_version.clone_from(&brought);
        self.acked_version = brought;
    }

    /// Whether the client has been sent its target. Asked often, so it builds nothing.
    fn is_current(&self, resources: &Resources, keep: bool) -> bool {
        let all = resources.get(self.resource_type);
        let has = |name: &str| match (self.sent.get(name), all.get(name)) {
            (Some(sent), Some(resource)) => sent.hash() == resource.hash(),
            (Some(_), None) => keep || !self.resource_type.is_whole_set(),
            (None, Some(_)) => false,
            (None, None) => true,
        };
        let gone =
            |name: &Arc<str>| !keep && self.resource_type.is_whole_set() && !all.contains_key(name);
        match &self.names {
            Names::Wildcard => all.keys().all(|name| has(name)) && !self.sent.keys().any(gone),
            Names::Only(names) => names.iter().all(|name| has(name)),
        }
    }

    /// The response that is due.
    pub(super) fn respond(
        &mut self,
        resources: &Resources,
        keep: bool,
        nonce: String,
        now: Instant,
    ) -> DiscoveryResponse {
        let target = self.target(resources, keep);
        let whole = self.resource_type.is_whole_set();
        let changed = |resource: &&Arc<EncodedResource>| {
            whole
                || self.sent.get(resource.name()).is_none_or(|sent| sent.hash() != resource.hash())
        };
        let anys = target.values().filter(changed).map(|resource| resource.any().clone()).collect();
        self.sent_version = version(&target);
        self.sent = target;
        self.owed = false;
        self.brought = None;
        self.nonce.clone_from(&nonce);
        self.status_state = State::Unanswered { since: now };
        DiscoveryResponse {
            version_info: self.sent_version.clone(),
            resources: anys,
            type_url: self.resource_type.type_url().to_owned(),
            nonce,
            ..Default::default()
        }
    }

    /// Until when the client's answer is waited for; `None` when there is none to wait for.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        match self.status_state {
            State::Unanswered { since } => Some(since + MAX_WAIT),
            _ => None,
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.status_state, State::Rejected { .. })
    }

    #[cfg(test)]
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn status(&self) -> Status {
        Status {
            state: self.status_state.clone(),
            sent_version: self.sent_version.clone(),
            acked_version: self.acked_version.clone(),
            resources: self.sent.len(),
        }
    }
}

fn wanted(names: &[String]) -> Names {
    match names.iter().any(|name| name == "*") {
        true => Names::Wildcard,
        false => names.iter().collect(),
    }
}

/// The hash of a set, as text.
fn version(resources: &ResourceMap) -> String {
    let hash = content_hash(|hasher| {
        resources.values().for_each(|resource| resource.hash().hash(hasher));
    });
    format!("{hash:016x}")
}
