//! The listeners for what the application sends.

use std::collections::BTreeSet;

use mesh_model::{Service, ServicePort, Snapshot};
use mesh_proto::envoy::config::core::v3::TrafficDirection;
use mesh_proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::Rds;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

use super::cluster::{BLACK_HOLE, PASSTHROUGH, outbound_name};
use super::{Families, http, inbound, wire};

pub(super) const PORT: u16 = 15001;

/// Where the redirection leads: hands each connection to the listener of its original
/// destination, and passes on what has none.
pub(super) fn virtual_listener(families: Families) -> Listener {
    let listener = Listener {
        name: "virtualOutbound".to_owned(),
        use_original_dst: Some(true),
        filter_chains: vec![trap("virtualOutbound-trap", PORT)],
        default_filter_chain: Some(chain("virtualOutbound-passthrough", http::tcp(PASSTHROUGH))),
        traffic_direction: TrafficDirection::Outbound.into(),
        ..Default::default()
    };
    families.on_all(PORT, listener)
}

/// A chain for connections made to the proxy's own port: passing them on would be a loop.
pub(super) fn trap(name: &str, port: u16) -> FilterChain {
    let destination =
        FilterChainMatch { destination_port: Some(port.into()), ..Default::default() };
    FilterChain { filter_chain_match: Some(destination), ..chain(name, http::tcp(BLACK_HOLE)) }
}

pub(super) fn chain(name: &str, filter: Filter) -> FilterChain {
    FilterChain { name: name.to_owned(), filters: vec![filter], ..Default::default() }
}

/// One for each number of an HTTP port, then one for each address of a TCP port.
pub(super) fn service_listeners(snapshot: &Snapshot, families: Families) -> Vec<Listener> {
    let ports = || {
        let services = snapshot.services().iter();
        let ports =
            services.flat_map(|service| service.ports.iter().map(move |port| (service, port)));
        ports.filter(|(_, port)| !is_reserved(port.number))
    };
    let http_ports: BTreeSet<u16> =
        ports().filter(|(_, port)| port.protocol.is_http()).map(|(_, port)| port.number).collect();
    let http = http_ports.into_iter().map(|port| http_listener(port, families));
    let mut listeners: Vec<_> = http.collect();
    let mut taken = BTreeSet::new();
    for (service, port) in ports().filter(|(_, port)| !port.protocol.is_http()) {
        let tcp = tcp_listeners(service, port, families);
        listeners.extend(tcp.into_iter().filter(|listener| taken.insert(listener.name.clone())));
    }
    listeners
}

/// Ports of the proxy's own. A second listener or chain for one would have the proxy refuse
/// the first.
pub(super) fn is_reserved(port: u16) -> bool {
    [PORT, inbound::PORT].contains(&port)
}

fn http_listener(port: u16, families: Families) -> Listener {
    let name = format!("{}_{port}", families.any());
    let routes = RouteSpecifier::Rds(Rds {
        config_source: Some(wire::ads()),
        route_config_name: port.to_string(),
    });
    let filter = http::client(&format!("outbound_{name}"), routes);
    families.on_all(port, unbound(name, filter))
}

/// At each virtual address; of a service without one, at each address of each pod, or an HTTP
/// listener of the same number would take its connections.
fn tcp_listeners(service: &Service, port: &ServicePort, families: Families) -> Vec<Listener> {
    let places: BTreeSet<_> = match service.addresses.as_slice() {
        [] => {
            let endpoints = service.endpoints_of(port.number);
            endpoints.flat_map(|e| e.addresses().map(|address| (address, e.port))).collect()
        }
        addresses => addresses.iter().map(|address| (*address, port.number)).collect(),
    };
    let cluster = outbound_name(port.number, "", &service.hostname);
    places
        .into_iter()
        .filter(|(address, _)| families.has(*address))
        .map(|(address, port)| {
            let name = format!("{address}_{port}");
            let address = Some(wire::ip_address(address, port));
            Listener { address, ..unbound(name, http::tcp(&cluster)) }
        })
        .collect()
}

/// Its address is still to come.
fn unbound(name: String, filter: Filter) -> Listener {
    Listener {
        filter_chains: vec![chain("", filter)],
        name,
        bind_to_port: Some(false),
        traffic_direction: TrafficDirection::Outbound.into(),
        ..Default::default()
    }
}
