use mesh_xds::ResourceType::{Cluster, Endpoint, Listener, Route};
use mesh_xds::server::{Resources, Store};

use crate::translate;

/// Encodes what one proxy is told; what another proxy is told too is shared with it.
pub(super) fn encode(store: &Store, translated: &translate::Resources) -> Resources {
    let mut resources = Resources::default();
    for cluster in &translated.clusters {
        resources.insert(Cluster, store.encode(&cluster.name, cluster));
    }
    for assignment in &translated.endpoints {
        resources.insert(Endpoint, store.encode(&assignment.cluster_name, assignment));
    }
    for listener in &translated.listeners {
        resources.insert(Listener, store.encode(&listener.name, listener));
    }
    for route in &translated.routes {
        resources.insert(Route, store.encode(&route.name, route));
    }
    resources
}
