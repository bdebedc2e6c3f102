//! The client's state machine: what is asked for, what was accepted, and which request each
//! change leads to.

use std::collections::BTreeMap;

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse, Resource};
use mesh_proto::google::rpc::Status;
use prost_types::Any;

use super::Response;
use crate::{Names, ResourceType};

/// google.rpc.Code.INVALID_ARGUMENT.
const INVALID_ARGUMENT: i32 = 3;

/// Which response an answer is for.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) resource_type: ResourceType,
    pub(super) version: String,
    pub(super) nonce: String,
    pub(super) stream: u64,
}

/// A response of a type that was not subscribed to.
#[derive(Debug)]
pub(super) struct Unexpected {
    pub(super) type_url: String,
}

/// Every subscription of one client, over all its streams.
pub(super) struct Subscriptions {
    node: Node,
    /// Counts streams, so that an answer to an earlier one is known as such.
    stream: u64,
    open: bool,
    node_sent: bool,
    types: BTreeMap<ResourceType, Subscription>,
}

struct Subscription {
    names: Names,
    /// The version of the last accepted response; empty when there is none, or when a later
    /// one was rejected: its good resources may be in force, so that on a new stream the
    /// server must not take us to have this version.
    accepted: String,
    rejected_since: bool,
    /// Of the last response on this stream; empty before it.
    nonce: String,
    /// A request was sent on this stream.
    asked: bool,
    /// The last response is not answered yet. New names wait for the answer, since a request
    /// with its nonce and no error would be taken for an ACK.
    unanswered: bool,
}

impl Subscriptions {
    pub(super) fn new(node: Node) -> Self {
        Self { node, stream: 0, open: false, node_sent: false, types: BTreeMap::new() }
    }

    /// A new stream: the first requests on it.
    pub(super) fn stream_opened(&mut self) -> Vec<DiscoveryRequest> {
        self.stream += 1;
        self.open = true;
        self.node_sent = false;
        for subscription in self.types.values_mut() {
            subscription.nonce.clear();
            subscription.asked = false;
            subscription.unanswered = false;
            if subscription.rejected_since {
                subscription.accepted.clear();
            }
        }
        let wanted = |s: &Subscription| !s.names.is_empty();
        let types: Vec<_> = self
            .types
            .iter()
            .filter(|(_, s)| wanted(s))
            .map(|(&resource_type, _)| resource_type)
            .collect();
        types.into_iter().filter_map(|resource_type| self.request(resource_type)).collect()
    }

    pub(super) fn stream_closed(&mut self) {
        self.open = false;
    }

    /// Asks for `names`. The request to send, if any now.
    pub(super) fn subscribe(
        &mut self,
        resource_type: ResourceType,
        names: Names,
    ) -> Option<DiscoveryRequest> {
        let subscription = self.types.entry(resource_type).or_insert_with(Subscription::new);
        if subscription.names == names {
            return None;
        }
        subscription.names = names;
        // An empty list in a first request would ask for everything.
        let nothing_asked = !subscription.asked && subscription.names.is_empty();
        if !self.open || subscription.unanswered || nothing_asked {
            return None;
        }
        self.request(resource_type)
    }

    /// A response arrived; it is to be answered.
    pub(super) fn response(&mut self, response: DiscoveryResponse) -> Result<Response, Unexpected> {
        let resource_type = ResourceType::from_type_url(&response.type_url);
        let found = resource_type.and_then(|t| Some((t, self.types.get_mut(&t)?)));
        let Some((resource_type, subscription)) = found else {
            return Err(Unexpected { type_url: response.type_url });
        };
        subscription.nonce.clone_from(&response.nonce);
        subscription.unanswered = true;
        Ok(Response {
            resource_type,
            version: response.version_info,
            resources: response.resources.into_iter().map(unwrap).collect(),
            nonce: response.nonce,
            stream: self.stream,
        })
    }

    /// ACK.
    pub(super) fn accept(&mut self, answer: &Answer) -> Option<DiscoveryRequest> {
        let subscription = self.types.get_mut(&answer.resource_type)?;
        // Also of an earlier stream: it is what is in force.
        subscription.accepted.clone_from(&answer.version);
        subscription.rejected_since = false;
        self.answer(answer, None)
    }

    /// NACK.
    pub(super) fn reject(&mut self, answer: &Answer, message: String) -> Option<DiscoveryRequest> {
        let subscription = self.types.get_mut(&answer.resource_type)?;
        subscription.rejected_since = true;
        let error = Status { code: INVALID_ARGUMENT, message, details: Vec::new() };
        self.answer(answer, Some(error))
    }

    fn answer(&mut self, answer: &Answer, error: Option<Status>) -> Option<DiscoveryRequest> {
        if !self.open || answer.stream != self.stream {
            return None;
        }
        let subscription = self.types.get_mut(&answer.resource_type)?;
        if subscription.nonce == answer.nonce {
            subscription.unanswered = false;
        }
        let mut request = self.request(answer.resource_type)?;
        request.response_nonce.clone_from(&answer.nonce);
        request.error_detail = error;
        Some(request)
    }

    /// A request with all that is known of a type.
    fn request(&mut self, resource_type: ResourceType) -> Option<DiscoveryRequest> {
        let node = (!self.node_sent).then(|| self.node.clone());
        let subscription = self.types.get_mut(&resource_type)?;
        subscription.asked = true;
        self.node_sent = true;
        Some(DiscoveryRequest {
            version_info: subscription.accepted.clone(),
            node,
            resource_names: subscription.names.to_wire(),
            type_url: resource_type.type_url().to_owned(),
            response_nonce: subscription.nonce.clone(),
            ..Default::default()
        })
    }
}

impl Subscription {
    fn new() -> Self {
        Self {
            names: Names::Only(Default::default()),
            accepted: String::new(),
            rejected_since: false,
            nonce: String::new(),
            asked: false,
            unanswered: false,
        }
    }
}

/// A server may wrap each resource in a `Resource`, with a name and a time to live.
fn unwrap(any: Any) -> Any {
    match mesh_proto::any::unpack::<Resource>(&any) {
        Some(Ok(Resource { resource: Some(inner), .. })) => inner,
        _ => any,
    }
}

#[cfg(test)]
mod tests;
