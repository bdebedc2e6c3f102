//! The routes of a gateway's port: a virtual host for each name.

use std::collections::BTreeMap;

use mesh_model::{Attachment, ServerTransport, Snapshot, TrafficRoute};
use mesh_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};

use super::super::route::{self, Rule};
use super::ports::{Server, Table};

/// What is for one name.
#[derive(Default)]
struct Host<'a> {
    /// Clients are sent to HTTPS.
    to_https: bool,
    rules: Vec<Rule<'a>>,
}

/// By name, in lower case.
#[derive(Default)]
struct Hosts<'a>(BTreeMap<String, Host<'a>>);

/// The table. Rules for one name are tried by namespace and name; a name without one has no
/// route.
pub(super) fn routes(snapshot: &Snapshot, table: &Table<'_>) -> RouteConfiguration {
    let mut hosts = Hosts::default();
    for server in &table.servers {
        hosts.attach(snapshot, *server);
    }
    let hosts = hosts.0.into_iter();
    let mut virtual_hosts: Vec<_> =
        hosts.map(|(domain, host)| virtual_host(snapshot, table.port, domain, &host)).collect();
    if virtual_hosts.is_empty() {
        // Istio's name: everything is answered with 404.
        virtual_hosts.push(VirtualHost {
            name: format!("blackhole:{}", table.port),
            domains: vec!["*".to_owned()],
            ..Default::default()
        });
    }
    RouteConfiguration {
        name: table.name.clone(),
        virtual_hosts,
        // A client writes the port that it called, which need not be the pod's.
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}

impl<'a> Hosts<'a> {
    fn attach(&mut self, snapshot: &'a Snapshot, server: Server<'a>) {
        for own in &server.server.hosts {
            for rule in snapshot.routes_by(server.gateway, server.server) {
                for name in &rule.hosts {
                    if let Some(domain) = own.admits(&rule.name.namespace, name) {
                        self.host(domain, server).add(rule, server);
                    }
                }
            }
            if sends_to_https(server) {
                self.host(&own.name, server);
            }
        }
    }

    fn host(&mut self, domain: &str, server: Server<'a>) -> &mut Host<'a> {
        let host = self.0.entry(domain.to_ascii_lowercase()).or_default();
        host.to_https |= sends_to_https(server);
        host
    }
}

fn sends_to_https(server: Server<'_>) -> bool {
    server.server.transport == ServerTransport::RedirectToTls
}

impl<'a> Host<'a> {
    fn add(&mut self, rule: &'a TrafficRoute, server: Server<'a>) {
        let place = Attachment::Gateway(server.gateway.name.clone());
        match self.rules.iter_mut().find(|known| std::ptr::eq(known.rule, rule)) {
            Some(known) => known.places.push(place),
            None => self.rules.push(Rule { rule, places: vec![place], port: server.server.port }),
        }
    }
}

fn virtual_host(snapshot: &Snapshot, port: u16, domain: String, host: &Host<'_>) -> VirtualHost {
    let routes = match host.to_https {
        true => vec![route::to_https()],
        false => route::of_rules(snapshot, &host.rules),
    };
    VirtualHost {
        name: format!("{domain}:{port}"),
        domains: vec![domain],
        routes,
        ..Default::default()
    }
}
