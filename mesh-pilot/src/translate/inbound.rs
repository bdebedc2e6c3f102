//! The listener for what others send to the pod.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_model::{MtlsMode, Protocol, Snapshot};
use mesh_proto::envoy::config::core::v3::TrafficDirection;
use mesh_proto::envoy::config::listener::v3::{FilterChain, Listener};
use mesh_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use mesh_proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

use super::cluster::{INBOUND_PASSTHROUGH, inbound_name};
use super::inbound_chain::{self, Entry};
use super::outbound::{is_reserved, trap};
use super::{Proxy, http, route, wire};

pub(super) const PORT: u16 = 15006;

/// A plain client of a protocol in which the server speaks first says nothing for so long,
/// and is passed on then. One that is slow to say hello must not be taken for such: what it
/// says would reach the application.
const INSPECTION: Duration = Duration::from_secs(5);

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
        for endpoint in service.endpoints.iter().filter(|e| e.is_at(proxy.address)) {
            if let Some(port) = service.port(endpoint.service_port) {
                ports.entry(endpoint.port).or_insert(port.protocol);
            }
        }
    }
    let ports = ports.into_iter().filter(|(number, _)| !is_reserved(*number));
    ports.map(|(number, protocol)| InboundPort { number, protocol }).collect()
}

/// Where the redirection leads: chains for each of `ports`, and for the rest, which is passed
/// on. Which connections they take is what the mesh's rules say of this pod.
pub(super) fn virtual_listener(
    snapshot: &Snapshot,
    proxy: &Proxy,
    ports: &[InboundPort],
) -> Listener {
    let mtls = proxy.inbound_mtls(snapshot);
    let trust_domain = snapshot.trust_domain();
    let mut filter_chains = vec![trap("virtualInbound-trap", PORT)];
    for port in ports {
        filter_chains.extend(port_chains(*port, mtls.on(port.number), trust_domain));
    }
    // Ports that the rules name and no service has.
    let named = mtls.ports.iter().filter(|(number, _)| {
        !is_reserved(**number) && ports.iter().all(|port| port.number != **number)
    });
    for (number, mode) in named {
        filter_chains.extend(passthrough_chains(Some(*number), *mode, trust_domain));
    }
    filter_chains.extend(passthrough_chains(None, mtls.mode, trust_domain));

    let original_dst =
        wire::listener_filter("envoy.filters.listener.original_dst", &OriginalDst {});
    let mut listener = Listener {
        name: "virtualInbound".to_owned(),
        listener_filters: vec![original_dst],
        traffic_direction: TrafficDirection::Inbound.into(),
        transparent: proxy.tproxy.then_some(true),
        ..Default::default()
    };
    if inbound_chain::needs_inspector(&filter_chains) {
        listener.listener_filters.push(wire::tls_inspector());
        listener.listener_filters_timeout = Some(wire::duration(INSPECTION));
        listener.continue_on_listener_filters_timeout = true;
    }
    proxy.families.on_all(PORT, Listener { filter_chains, ..listener })
}

/// What no service has: its bytes go to where they were sent.
fn passthrough_chains(port: Option<u16>, mode: MtlsMode, trust_domain: &str) -> Vec<FilterChain> {
    let bytes = http::tcp(INBOUND_PASSTHROUGH);
    inbound_chain::chains(Entry {
        name: "virtualInbound-passthrough",
        port,
        mode,
        trust_domain,
        filter: bytes.clone(),
        is_http: false,
        bytes,
    })
}

fn port_chains(port: InboundPort, mode: MtlsMode, trust_domain: &str) -> Vec<FilterChain> {
    let cluster = inbound_name(port.number);
    let is_http = port.protocol.is_http();
    let bytes = http::tcp(&cluster);
    let filter = if is_http {
        let stat_prefix = format!("inbound_0.0.0.0_{}", port.number);
        http::server(&stat_prefix, RouteSpecifier::RouteConfig(routes(&cluster)))
    } else {
        bytes.clone()
    };
    let name = format!("0.0.0.0_{}", port.number);
    let number = Some(port.number);
    inbound_chain::chains(Entry {
        name: &name,
        port: number,
        mode,
        trust_domain,
        filter,
        is_http,
        bytes,
    })
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
