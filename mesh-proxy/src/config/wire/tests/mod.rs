//! What is taken, and what is refused with which words.

mod bootstrap;
mod clusters;
mod filters;
mod listeners;
mod routes;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::envoy::config::bootstrap::v3 as bootstrap_proto;
use mesh_proto::envoy::config::cluster::v3 as cluster_proto;
use mesh_proto::envoy::config::endpoint::v3 as endpoint_proto;
use mesh_proto::envoy::config::listener::v3 as listener_proto;
use mesh_proto::envoy::config::route::v3 as route_proto;
use mesh_proto::text;

use crate::config::{self, wire, *};

fn bootstrap(yaml: &str) -> Result<Bootstrap, String> {
    let message: bootstrap_proto::Bootstrap = text::from_yaml(yaml).unwrap();
    super::bootstrap(message).map_err(|error| error.to_string())
}

fn cluster(yaml: &str) -> Result<Cluster, String> {
    let message: cluster_proto::Cluster = text::from_yaml(yaml).unwrap();
    super::cluster(message, &Path::default()).map_err(|error| error.to_string())
}

fn listener(yaml: &str) -> Result<Listener, String> {
    let message: listener_proto::Listener = text::from_yaml(yaml).unwrap();
    super::listener(message, &Path::default(), &|name| name == "known")
        .map_err(|error| error.to_string())
}

fn routes(yaml: &str) -> Result<RouteTable, String> {
    let message: route_proto::RouteConfiguration = text::from_yaml(yaml).unwrap();
    super::route_table(message, &Path::default(), &|name| name == "known")
        .map_err(|error| error.to_string())
}

/// A listener with one chain that ends in this connection manager's `fields`.
fn http_listener(fields: &str) -> String {
    let indented: String = fields.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        r#"
name: l
address: {{ socket_address: {{ address: 0.0.0.0, port_value: 80 }} }}
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: p
      http_filters:
      - name: router
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{indented}"#
    )
}

fn manager(fields: &str) -> Result<HttpConnectionManager, String> {
    let listener = listener(&http_listener(fields))?;
    match &listener.filter_chains[0].filter {
        NetworkFilter::Http(manager) => Ok((**manager).clone()),
        NetworkFilter::Tcp(_) => Err("a TCP proxy".to_owned()),
    }
}

/// A route table with one route of these fields.
fn route(fields: &str) -> Result<Route, String> {
    let table = routes(&format!(
        "name: t\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - {fields}\n"
    ))?;
    Ok((*table.virtual_hosts[0].routes[0]).clone())
}

fn refused<T: std::fmt::Debug>(result: Result<T, String>, expected: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(expected), "{error:?} should contain {expected:?}");
}
