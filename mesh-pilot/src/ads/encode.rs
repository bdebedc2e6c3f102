use std::sync::Arc;

use mesh_xds::ResourceType::{self, Cluster, Endpoint, Listener, Route};
use mesh_xds::server::{EncodedResource, Resources, Store};

use crate::translate;

/// Resources of several types.
pub(super) type Encoded = Vec<(ResourceType, Arc<EncodedResource>)>;

/// Encodes what one or more proxies are told; what another one is told too is shared with it.
pub(super) fn encode(store: &Store, translated: &translate::Resources) -> Encoded {
    let mut encoded = Encoded::new();
    for cluster in &translated.clusters {
        encoded.push((Cluster, store.encode(&cluster.name, cluster)));
    }
    for assignment in &translated.endpoints {
        encoded.push((Endpoint, store.encode(&assignment.cluster_name, assignment)));
    }
    for listener in &translated.listeners {
        encoded.push((Listener, store.encode(&listener.name, listener)));
    }
    for route in &translated.routes {
        encoded.push((Route, store.encode(&route.name, route)));
    }
    encoded
}

/// All that one proxy is told.
pub(super) fn together<'a>(parts: impl IntoIterator<Item = &'a Encoded>) -> Resources {
    let mut resources = Resources::default();
    for (resource_type, resource) in parts.into_iter().flatten() {
        resources.insert(*resource_type, Arc::clone(resource));
    }
    resources
}
