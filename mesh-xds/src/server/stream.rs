use std::sync::Arc;
use std::time::Instant;

use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::resources::Resources;
use super::subscription::{Meaning, Status, Subscription};
use crate::ResourceType;

/// One client's stream.
#[derive(Debug, Default)]
pub struct Stream {
    types: [Option<Subscription>; ResourceType::ALL.len()],
    resources: Option<Arc<Resources>>,
    /// Of the last response; a nonce is unique in the stream, over all types.
    nonce: u64,
}

/// What a request was.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first request for a type, or other names.
    Asked(ResourceType),
    /// The last response was taken.
    Acked(ResourceType),
    /// The last response was refused, wholly or in part.
    Rejected {
        /// Of which type.
        resource_type: ResourceType,
        /// The version that was refused.
        version: String,
        /// The client's words.
        error: String,
    },
    /// About a response that is not the last one: to be ignored.
    Stale(ResourceType),
    /// For a type that this server does not have: to be ignored.
    UnknownType,
}

impl Stream {
    /// Takes a request from the client.
    pub fn request(&mut self, request: &DiscoveryRequest) -> Outcome {
        let Some(resource_type) = ResourceType::from_type_url(&request.type_url) else {
            return Outcome::UnknownType;
        };
        let slot = &mut self.types[resource_type.index()];
        let Some(subscription) = slot else {
            *slot = Some(Subscription::new(resource_type, request));
            return Outcome::Asked(resource_type);
        };
        match subscription.request(request) {
            Meaning::Stale => Outcome::Stale(resource_type),
            Meaning::Asked => Outcome::Asked(resource_type),
            Meaning::Acked => Outcome::Acked(resource_type),
            Meaning::Rejected { error } => {
                let version = subscription.status().sent_version;
                Outcome::Rejected { resource_type, version, error }
            }
        }
    }

    /// What the client may be told from now on.
    pub fn set_resources(&mut self, resources: Arc<Resources>) {
        self.resources = Some(resources);
    }

    /// The next response to send; to be called until `None`, after each request and each
    /// change of the resources, and at [`Self::deadline`].
    pub fn next_response(&mut self, now: Instant) -> Option<DiscoveryResponse> {
        use ResourceType::{Cluster, Endpoint, Listener, Route, Secret};
        let resources = self.resources.clone()?;
        let clusters_ready = self.is_settled(&resources, Cluster, now);
        let endpoints_ready = self.is_settled(&resources, Endpoint, now);
        let due = ResourceType::ALL.into_iter().find(|&resource_type| {
            let may = match resource_type {
                Cluster | Endpoint | Secret => true,
                Listener | Route => clusters_ready && endpoints_ready,
            };
            may && !self.is_busy(resource_type, now) && self.is_due(&resources, resource_type)
        })?;
        let keep = self.keeps(&resources, due);
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let subscription = self.types[due.index()].as_mut()?;
        Some(subscription.respond(&resources, keep, nonce, now))
    }

    /// When [`Self::next_response`] is to be called though nothing happened: an answer is
    /// late, and what waits for it may go on.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let deadlines = self.types.iter().flatten().filter_map(Subscription::waits_until);
        deadlines.filter(|deadline| *deadline > now).min()
    }

    /// Whether something is to be sent, now or when what it waits for is answered.
    pub fn has_due(&mut self) -> bool {
        let Some(resources) = self.resources.clone() else { return false };
        ResourceType::ALL.into_iter().any(|resource_type| self.is_due(&resources, resource_type))
    }

    /// Whether the client has answered, with ACK or NACK, for all that it is to be told.
    pub fn is_done(&mut self) -> bool {
        let waits = self.types.iter().flatten().any(|s| s.waits_until().is_some());
        self.resources.is_some() && !waits && !self.has_due()
    }

    /// What is known of a type; `None` when the client did not ask for it.
    pub fn status(&self, resource_type: ResourceType) -> Option<Status> {
        self.types[resource_type.index()].as_ref().map(Subscription::status)
    }

    /// Nothing to send, and no answer to wait for.
    fn is_settled(
        &mut self,
        resources: &Resources,
        resource_type: ResourceType,
        now: Instant,
    ) -> bool {
        !self.is_busy(resource_type, now) && !self.is_due(resources, resource_type)
    }

    fn is_busy(&self, resource_type: ResourceType, now: Instant) -> bool {
        let subscription = self.types[resource_type.index()].as_ref();
        subscription.and_then(Subscription::waits_until).is_some_and(|until| now < until)
    }

    fn is_due(&mut self, resources: &Resources, resource_type: ResourceType) -> bool {
        let keep = self.keeps(resources, resource_type);
        let subscription = self.types[resource_type.index()].as_mut();
        subscription.is_some_and(|subscription| subscription.is_due(resources, keep))
    }

    /// Whether clusters that are gone must stay: until what may lead to them is replaced.
    fn keeps(&mut self, resources: &Resources, resource_type: ResourceType) -> bool {
        resource_type == ResourceType::Cluster
            && [ResourceType::Listener, ResourceType::Route].into_iter().any(|after| {
                self.types[after.index()].as_mut().is_some_and(|subscription| {
                    subscription.waits_until().is_some()
                        || subscription.is_rejected()
                        || subscription.is_due(resources, false)
                })
            })
    }
}

#[cfg(test)]
mod tests;
