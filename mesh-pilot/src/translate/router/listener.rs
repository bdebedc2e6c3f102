//! The listener of a gateway's port.

use std::collections::HashSet;

use mesh_model::{GatewayServer, ServerTransport};
use mesh_proto::envoy::config::core::v3::TrafficDirection;
use mesh_proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::Rds;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

use super::super::{Families, http, inbound_chain, outbound, tls, wire};
use super::ports::{Port, Table};

/// What a server of HTTPS speaks.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

pub(super) fn of(port: &Port<'_>, families: Families) -> Listener {
    let address = port.bind.map(|address| address.to_string());
    let name = format!("{}_{}", address.as_deref().unwrap_or(families.any()), port.number);
    let mut taken = HashSet::new();
    let chains = port.tables.iter().filter_map(|table| chain(&name, table, &mut taken));
    let filter_chains: Vec<_> = chains.collect();
    let inspector = inbound_chain::needs_inspector(&filter_chains);
    let listener = Listener {
        name,
        listener_filters: inspector.then(wire::tls_inspector).into_iter().collect(),
        filter_chains,
        traffic_direction: TrafficDirection::Outbound.into(),
        ..Default::default()
    };
    match address {
        Some(address) => {
            Listener { address: Some(wire::address(&address, port.number)), ..listener }
        }
        None => families.on_all(port.number, listener),
    }
}

/// `taken`: what other chains of the port are for, as two must not be for the same.
fn chain<'a>(
    listener: &str,
    table: &Table<'a>,
    taken: &mut HashSet<&'a str>,
) -> Option<FilterChain> {
    let routes = RouteSpecifier::Rds(Rds {
        config_source: Some(wire::ads()),
        route_config_name: table.name.clone(),
    });
    let chain = outbound::chain("", http::edge(&format!("outbound_{listener}"), routes));
    let server = table.servers.first()?.server;
    let ServerTransport::Tls(own) = &server.transport else { return Some(chain) };
    let mut names = server_names(server);
    names.retain(|name| taken.insert(name));
    if names.is_empty() {
        return None;
    }
    let server_names = names.iter().filter(|name| **name != "*").map(|name| (*name).to_owned());
    let matcher = FilterChainMatch {
        transport_protocol: "tls".to_owned(),
        server_names: server_names.collect(),
        ..Default::default()
    };
    Some(FilterChain {
        name: table.name.clone(),
        filter_chain_match: Some(matcher),
        transport_socket: Some(tls::own_server(own, &ALPN)),
        ..chain
    })
}

/// The names that clients ask for by TLS; `*` alone: any, or none.
fn server_names(server: &GatewayServer) -> Vec<&str> {
    let names = || server.hosts.iter().map(|host| host.name.as_str());
    if names().any(|name| name == "*") { vec!["*"] } else { names().collect() }
}
