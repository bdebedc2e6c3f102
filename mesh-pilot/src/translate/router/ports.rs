//! Which ports of its pod a gateway's proxy listens on, and for what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_model::{Gateway, GatewayServer, ServerTransport, Snapshot};

use super::super::Proxy;

/// Below, a program that is not root's listens only where the system allows it.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// A port of the pod.
pub(super) struct Port<'a> {
    pub(super) number: u16,
    /// `None`: every address.
    pub(super) bind: Option<IpAddr>,
    /// One without TLS, or one for each server with it.
    pub(super) tables: Vec<Table<'a>>,
}

/// The servers whose requests are routed alike.
pub(super) struct Table<'a> {
    /// Istio's name for it.
    pub(super) name: String,
    /// The port that it is of.
    pub(super) port: u16,
    pub(super) servers: Vec<Server<'a>>,
}

/// One port of a gateway.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a GatewayServer,
}

/// The ports, by number. Where gateways disagree whether one has TLS, the first by namespace and
/// name is believed.
pub(super) fn of<'a>(snapshot: &'a Snapshot, proxy: &'a Proxy) -> Vec<Port<'a>> {
    let mut ports: BTreeMap<(u16, Option<IpAddr>), Vec<Server<'a>>> = BTreeMap::new();
    let labels = proxy.labels_in(snapshot);
    let gateways = snapshot.gateways().iter();
    for gateway in gateways.filter(|gateway| gateway.is_of(&proxy.namespace, labels)) {
        for server in &gateway.servers {
            let Some(number) = target(snapshot, proxy, server.port) else { continue };
            let servers = ports.entry((number, server.bind)).or_default();
            let server = Server { gateway, server };
            if servers.first().is_none_or(|first| first.is_tls() == server.is_tls()) {
                servers.push(server);
            }
        }
    }
    let ports = ports.into_iter();
    ports
        .map(|((number, bind), servers)| Port {
            number,
            bind,
            tables: tables(number, bind, servers),
        })
        .collect()
}

/// The pod's port behind a port of the service before it. Without such a service port, it is
/// taken for the pod's own, as in Istio.
fn target(snapshot: &Snapshot, proxy: &Proxy, port: u16) -> Option<u16> {
    let services = snapshot.services_at(proxy.address);
    let mut endpoints = services
        .flat_map(|service| service.endpoints_of(port))
        .filter(|endpoint| endpoint.is_at(proxy.address));
    let own = (port >= FIRST_UNPRIVILEGED).then_some(port);
    endpoints.next().map(|endpoint| endpoint.port).or(own)
}

fn tables(number: u16, bind: Option<IpAddr>, servers: Vec<Server<'_>>) -> Vec<Table<'_>> {
    if servers.iter().all(|server| !server.is_tls()) {
        let at = bind.map_or_else(String::new, |address| format!("{address}."));
        return vec![Table { name: format!("http.{at}{number}"), port: number, servers }];
    }
    let one = |server: Server<'_>| {
        let name = &server.gateway.name;
        let GatewayServer { port, name: own, .. } = server.server;
        format!("https.{port}.{own}.{}.{}", name.name, name.namespace)
    };
    let tables = servers.into_iter();
    tables.map(|server| Table { name: one(server), port: number, servers: vec![server] }).collect()
}

impl Server<'_> {
    fn is_tls(&self) -> bool {
        matches!(self.server.transport, ServerTransport::Tls(_))
    }
}
