//! What a gateway's proxy is told: a listener for each of its ports, a table of the routes that
//! are attached to its gateways, and the clusters that these lead to.

mod hosts;
mod listener;
mod ports;

use std::collections::HashSet;

use mesh_model::Snapshot;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;

use super::{Proxy, Resources, Role, cluster, endpoint, route};

/// The resources of a gateway's proxy.
pub(super) fn resources(snapshot: &Snapshot, proxy: &Proxy) -> Resources {
    let ports = ports::of(snapshot, proxy);
    let tables = ports.iter().flat_map(|port| &port.tables);
    let routes: Vec<_> = tables.map(|table| hosts::routes(snapshot, table)).collect();
    let listeners = ports.iter().map(|port| listener::of(port, proxy.families)).collect();
    let mut resources = Resources { listeners, ..Resources::default() };
    let wanted = clusters_of(&routes);
    let services: HashSet<&str> = wanted.iter().filter_map(|name| cluster::host_of(name)).collect();
    for service in snapshot.services().iter().filter(|s| services.contains(s.hostname.as_str())) {
        let clusters = cluster::of_service(snapshot, service, Role::Router);
        resources
            .clusters
            .extend(clusters.into_iter().filter(|c| wanted.contains(c.name.as_str())));
        let endpoints = endpoint::of_service(snapshot, service, Role::Router);
        let wanted = endpoints.into_iter().filter(|e| wanted.contains(e.cluster_name.as_str()));
        resources.endpoints.extend(wanted);
    }
    Resources { routes, ..resources }
}

fn clusters_of(tables: &[RouteConfiguration]) -> HashSet<&str> {
    let hosts = tables.iter().flat_map(|table| &table.virtual_hosts);
    hosts.flat_map(|host| &host.routes).flat_map(route::clusters).collect()
}
