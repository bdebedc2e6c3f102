//! The route table of each HTTP port: a virtual host for each service that has it.

use std::collections::{BTreeMap, HashSet};

use mesh_model::{Attachment, Service, ServiceName, Snapshot, short_names};
use mesh_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};

use super::cluster::{PASSTHROUGH, outbound_name};
use super::outbound::is_reserved;
use super::route::{self, Rule};

/// One for each number of an HTTP service port, by number, as clients in `namespace` have it.
pub(super) fn tables(snapshot: &Snapshot, namespace: &str) -> Vec<RouteConfiguration> {
    let mut by_port: BTreeMap<u16, Vec<&Service>> = BTreeMap::new();
    for service in snapshot.services() {
        let routed =
            service.ports.iter().filter(|p| p.protocol.is_http() && !is_reserved(p.number));
        for port in routed {
            by_port.entry(port.number).or_default().push(service);
        }
    }
    let tables = by_port.into_iter();
    tables.map(|(port, services)| table(snapshot, namespace, port, &services)).collect()
}

fn table(
    snapshot: &Snapshot,
    namespace: &str,
    port: u16,
    services: &[&Service],
) -> RouteConfiguration {
    // A domain that is there twice would have the proxy refuse the whole table.
    let mut taken = HashSet::new();
    let mut virtual_hosts = Vec::with_capacity(services.len() + 1);
    for service in services {
        let mut domains = domains(service, port, namespace);
        domains.retain(|domain| taken.insert(domain.clone()));
        if domains.is_empty() {
            continue;
        }
        let rules = snapshot.routes_to(&service.hostname, namespace);
        let routes = match rules.is_empty() {
            true => vec![route::default(&outbound_name(port, "", &service.hostname))],
            false => {
                let places = || vec![Attachment::Mesh];
                let rules = rules.into_iter().map(|rule| Rule { rule, places: places(), port });
                route::of_rules(snapshot, &rules.collect::<Vec<_>>())
            }
        };
        virtual_hosts.push(VirtualHost {
            name: format!("{}:{port}", service.hostname),
            domains,
            routes,
            ..Default::default()
        });
    }
    virtual_hosts.push(VirtualHost {
        name: "allow_any".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route::to_cluster("allow_any", PASSTHROUGH)],
        ..Default::default()
    });
    RouteConfiguration { name: port.to_string(), virtual_hosts, ..Default::default() }
}

/// Each name by which a client in `namespace` may call the service, with and without the
/// port: a client writes it unless it is the scheme's own. Of a headless service those of its
/// pods, too (`web-0.web`), as in Istio, but not by an alias, below which DNS has nothing.
fn domains(service: &Service, port: u16, namespace: &str) -> Vec<String> {
    let mut names = names(&service.hostname, &service.name, namespace);
    names.extend(service.addresses.iter().map(|address| match address {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }));
    if service.headless {
        let pods: Vec<_> = names.iter().map(|name| format!("*.{name}")).collect();
        names.extend(pods);
    }
    let aliases = service.aliases.iter();
    names.extend(aliases.flat_map(|alias| self::names(&alias.hostname, &alias.name, namespace)));
    names.into_iter().flat_map(|name| [name.clone(), format!("{name}:{port}")]).collect()
}

fn names(hostname: &str, name: &ServiceName, namespace: &str) -> Vec<String> {
    let mut names = vec![hostname.to_owned()];
    names.extend(short_names(name, namespace));
    names
}
