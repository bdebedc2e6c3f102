//! The listener for what others send to the pod.

use std::collections::BTreeMap;

use mesh_model::{Protocol, Snapshot};
use mesh_proto::envoy::config::core::v3::TrafficDirection;
use mesh_proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use mesh_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use mesh_proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

use super::cluster::{INBOUND_PASSTHROUGH, inbound_name};
use super::outbound::{chain, is_reserved, trap};
use super::{Proxy, http, route, wire};

pub(super) const PORT: u16 = 15006;

/// A port of the pod that a service leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct InboundPort {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
}

/// By number. Where services disagree on the protocol, the first by namespace and name is
/// believed.
pub(super) fn ports(snapshot: &Snapshot, proxy: &Proxy) -> Vec<InboundPort> {
    let mut ports = BTreeMap::new();
    for service in snapshot.services_at(proxy.address) {
        for endpoint in service.endpoints.iter().filter(|e| e.address == proxy.address) {
            if let Some(port) = service.port(endpoint.service_port) {
                ports.entry(endpoint.port).or_insert(port.protocol);
            }
        }
    }
    let ports = ports.into_iter().filter(|(number, _)| !is_reserved(*number));
    ports.map(|(number, protocol)| InboundPort { number, protocol }).collect()
}

/// Where the redirection leads: a chain for each of `ports`, and passes on the rest.
pub(super) fn virtual_listener(ports: &[InboundPort]) -> Listener {
    let mut filter_chains = vec![trap("virtualInbound-trap", PORT)];
    filter_chains.extend(ports.iter().map(|port| port_chain(*port)));
    let rest = chain("virtualInbound-passthrough", http::tcp(INBOUND_PASSTHROUGH));
    Listener {
        name: "virtualInbound".to_owned(),
        address: Some(wire::address("0.0.0.0", PORT)),
        listener_filters: vec![wire::listener_filter(
            "envoy.filters.listener.original_dst",
            &OriginalDst {},
        )],
        filter_chains,
        default_filter_chain: Some(rest),
        traffic_direction: TrafficDirection::Inbound.into(),
        ..Default::default()
    }
}

fn port_chain(port: InboundPort) -> FilterChain {
    let cluster = inbound_name(port.number);
    let filter = if port.protocol.is_http() {
        let stat_prefix = format!("inbound_0.0.0.0_{}", port.number);
        let routes = RouteSpecifier::RouteConfig(routes(&cluster));
        http::connection_manager(&stat_prefix, routes)
    } else {
        http::tcp(&cluster)
    };
    let destination =
        FilterChainMatch { destination_port: Some(port.number.into()), ..Default::default() };
    FilterChain {
        filter_chain_match: Some(destination),
        ..chain(&format!("0.0.0.0_{}", port.number), filter)
    }
}

/// Everything to the application, as it came.
fn routes(cluster: &str) -> RouteConfiguration {
    let host = VirtualHost {
        name: "inbound|http".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route::to_cluster("default", cluster)],
        ..Default::default()
    };
    RouteConfiguration { name: cluster.to_owned(), virtual_hosts: vec![host], ..Default::default() }
}
