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
mod family;
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

use mesh_model::{Service, Snapshot};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;

pub use family::Families;
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
    let mut all = Resources::default();
    for service in snapshot.services() {
        all.extend(of_service(snapshot, service));
    }
    all.extend(own(snapshot, proxy));
    all.extend(of_namespace(snapshot, &proxy.namespace, proxy.families));
    all
}

/// What every sidecar is told of a service: made of it, its policy, the trust domain, and what
/// says who takes mutual TLS.
pub(crate) fn of_service(snapshot: &Snapshot, service: &Service) -> Resources {
    Resources {
        clusters: cluster::of_service(snapshot, service, Role::Sidecar),
        endpoints: endpoint::of_service(snapshot, service, Role::Sidecar),
        ..Resources::default()
    }
}

/// What sidecars of a namespace whose pods have addresses of these families are told alike of
/// all services together.
pub(crate) fn of_namespace(snapshot: &Snapshot, namespace: &str, families: Families) -> Resources {
    Resources {
        listeners: outbound::service_listeners(snapshot, families),
        routes: virtual_host::tables(snapshot, namespace),
        ..Resources::default()
    }
}

/// What only this sidecar is told: of its own pod, and what is the same at all times.
pub(crate) fn own(snapshot: &Snapshot, proxy: &Proxy) -> Resources {
    let ports = inbound::ports(snapshot, proxy);
    let inbound = ports.iter().map(|port| cluster::inbound(*port, proxy.families));
    Resources {
        clusters: inbound.chain(cluster::fixed(proxy.families)).collect(),
        listeners: vec![
            outbound::virtual_listener(proxy.families),
            inbound::virtual_listener(snapshot, proxy, &ports),
        ],
        ..Resources::default()
    }
}

impl Resources {
    fn extend(&mut self, more: Self) {
        self.clusters.extend(more.clusters);
        self.endpoints.extend(more.endpoints);
        self.listeners.extend(more.listeners);
        self.routes.extend(more.routes);
    }
}
