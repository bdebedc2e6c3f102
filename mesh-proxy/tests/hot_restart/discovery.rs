//! Listeners, clusters and endpoints by ADS.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::text;
use mesh_testkit::{XdsServer, eventually, free_port};

use crate::common::{greeter, hears};
use crate::site::{Site, connect, echoes, local};

fn cluster() -> Cluster {
    text::from_yaml("{name: a, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}").unwrap()
}

fn endpoints(address: SocketAddr) -> ClusterLoadAssignment {
    let port = address.port();
    text::from_yaml(&format!(
        "{{cluster_name: a, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
         {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}"
    ))
    .unwrap()
}

fn listener(name: &str, address: SocketAddr) -> Listener {
    let filter = crate::common::tcp_proxy("cluster: a");
    let text = crate::common::listener(name, address, "", &filter);
    text::from_yaml(text.trim().trim_start_matches("- ")).unwrap()
}

/// A bootstrap that has everything from `pilot`.
fn bootstrap(site: &Site, pilot: SocketAddr) -> PathBuf {
    let dynamic = "
node: {id: a, cluster: a}
dynamic_resources:
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: pilot}}]
static_resources:
  clusters:
";
    let pilot = crate::common::static_cluster("pilot", &[pilot]);
    site.file_with(&format!("{dynamic}{pilot}    http2_protocol_options: {{}}\n"))
}

/// Nobody is there yet, or nobody any more: until a connection is greeted with this.
fn until_greeted(address: SocketAddr, greeting: &str) {
    eventually(&format!("{greeting} at {address}"), || {
        TcpStream::connect(address).ok()?;
        (hears(address) == greeting).then_some(())
    });
}

#[test]
fn what_the_control_plane_says_holds_for_both_processes() {
    let site = Site::new();
    let server = XdsServer::start();
    let (one, added) = (local(free_port()), local(free_port()));
    server.set("1", &[cluster()]);
    server.set("1", &[endpoints(greeter("hello", "127.0.0.1:0"))]);
    server.set("1", &[listener("one", one)]);
    let file = bootstrap(&site, server.address());
    let mut old = site.start_with(&file, 0, &[]);
    site.until_epoch(0);
    let mut open = connect(one).unwrap();
    std::io::Read::read_exact(&mut open, &mut [0; 5]).unwrap();
    let mut new = site.start_with(&file, 1, &[]);
    site.until_epoch(1);
    assert_eq!(hears(one), "hello");
    // Both are told; only the new one listens, and the old one refuses nothing.
    server.set("2", &[listener("one", one), listener("added", added)]);
    until_greeted(added, "hello");
    assert_eq!(server.streams(), 2);
    assert!(echoes(&mut open));
    // Endpoints that came while it drained are the old one's, too, when it serves again.
    server.set("2", &[endpoints(greeter("other", "127.0.0.1:0"))]);
    until_greeted(one, "other");
    new.kill();
    site.until_epoch(0);
    until_greeted(added, "other");
    assert!(hears(one) == "other" && echoes(&mut open));
    assert!(old.exited().is_none());
}

#[test]
fn without_a_control_plane_nothing_takes_over() {
    let site = Site::new();
    let server = XdsServer::start();
    let one = local(free_port());
    server.set("1", &[cluster()]);
    server.set("1", &[endpoints(greeter("hello", "127.0.0.1:0"))]);
    server.set("1", &[listener("one", one)]);
    let file = bootstrap(&site, server.address());
    let _old = site.start_with(&file, 0, &[]);
    site.until_epoch(0);
    let pilot = server.address();
    drop(server);
    let new = site.start_with(&file, 1, &[]);
    // It asks in vain, and then it is there again.
    eventually("it to ask", || new.log().contains("no control plane").then_some(()));
    assert_eq!(site.epoch(), Some(0));
    assert_eq!(hears(one), "hello");
    let server = XdsServer::start_at(pilot);
    server.set("2", &[cluster()]);
    server.set("2", &[endpoints(greeter("other", "127.0.0.1:0"))]);
    server.set("2", &[listener("one", one)]);
    site.until_epoch(1);
    assert_eq!(hears(one), "other");
}
