//! From a snapshot to the resources of one proxy: pure, and the same for the same input.
//!
//! The shape is Istio's for a sidecar: `virtualOutbound` takes what the application sends
//! and hands it to a listener per service port that is not bound itself; `virtualInbound`
//! takes what others send, with filter chains per port of the pod. Names are Istio's too,
//! so that users' tools and dashboards fit. A gateway's proxy has a listener for each of its
//! ports, and of the mesh only what its routes lead to.

mod client_tls;
mod cluster;
mod endpoint;
mod http;
mod inbound;
mod inbound_chain;
mod outbound;
mod proxy;
mod route;
mod router;
mod tls;
mod virtual_host;
mod wire;

use mesh_model::Snapshot;
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;

pub use proxy::{NodeError, Proxy, Role};

/// All that one proxy is told. Each list is in a fixed order, and its names are unique.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// CDS.
    pub clusters: Vec<Cluster>,
    /// EDS: one for each EDS cluster, empty when it has no endpoint that is ready.
    pub endpoints: Vec<ClusterLoadAssignment>,
    /// LDS.
    pub listeners: Vec<Listener>,
    /// RDS: of a sidecar one for each number of an HTTP service port, which is its name; of a
    /// gateway's proxy one for each of its ports, or of its servers with TLS.
    pub routes: Vec<RouteConfiguration>,
}

/// The resources of `proxy` in the mesh of `snapshot`.
pub fn translate(snapshot: &Snapshot, proxy: &Proxy) -> Resources {
    match proxy.role {
        Role::Sidecar => sidecar(snapshot, proxy),
        Role::Router => router::resources(snapshot, proxy),
    }
}

fn sidecar(snapshot: &Snapshot, proxy: &Proxy) -> Resources {
    let ports = inbound::ports(snapshot, proxy);
    let services = snapshot.services();
    let outbound = services.iter().flat_map(|s| cluster::of_service(snapshot, s, proxy.role));
    let mut clusters: Vec<_> = outbound.collect();
    clusters.extend(ports.iter().map(|port| cluster::inbound(*port)));
    clusters.extend(cluster::fixed());

    let mut listeners =
        vec![outbound::virtual_listener(), inbound::virtual_listener(snapshot, proxy, &ports)];
    listeners.extend(outbound::service_listeners(snapshot));

    let endpoints = services.iter().flat_map(|s| endpoint::of_service(snapshot, s, proxy.role));
    Resources {
        clusters,
        endpoints: endpoints.collect(),
        listeners,
        routes: virtual_host::tables(snapshot, proxy),
    }
}
