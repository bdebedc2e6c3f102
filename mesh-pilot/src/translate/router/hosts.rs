//! The routes of a gateway's port: a virtual host for each name.

use std::collections::BTreeMap;

use mesh_model::{Attachment, ServerTransport, Snapshot, TrafficRoute};
use mesh_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};

use super::super::route;
use super::ports::{Server, Table};

/// What is for one name.
#[derive(Default)]
struct Host<'a> {
    /// Clients are sent to HTTPS.
    to_https: bool,
    rules: Vec<(&'a TrafficRoute, Server<'a>)>,
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
            for rule in snapshot.routes_of(&server.gateway.name) {
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
        let same = |(other, by): &(&TrafficRoute, Server<'_>)| {
            std::ptr::eq(*other, rule)
                && by.gateway.name == server.gateway.name
                && by.server.port == server.server.port
        };
        if !self.rules.iter().any(same) {
            self.rules.push((rule, server));
        }
    }
}

fn virtual_host(snapshot: &Snapshot, port: u16, domain: String, host: &Host<'_>) -> VirtualHost {
    let routes = if host.to_https {
        vec![route::to_https()]
    } else {
        let of_rule = |(rule, by): &(&TrafficRoute, Server<'_>)| {
            let place = Attachment::Gateway(by.gateway.name.clone());
            route::of_rule(snapshot, rule, &place, by.server.port)
        };
        host.rules.iter().flat_map(of_rule).collect()
    };
    VirtualHost {
        name: format!("{domain}:{port}"),
        domains: vec![domain],
        routes,
        ..Default::default()
    }
}
