//! The agent with the real Envoy.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::{Agent, Namespace, becomes, possible, run};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::text::from_yaml;
use mesh_testkit::{XdsServer, envoy};
use nix::sys::signal::Signal;

#[test]
fn envoy_takes_the_bootstrap_of_either_kind() {
    use mesh_agent::proxy::{Kind, bootstrap, node};
    let Some(envoy) = envoy::binary() else { return };
    let node = node::Node {
        role: node::Role::Sidecar { interception_mode: "REDIRECT".to_owned() },
        name: "reviews-v1-0".to_owned(),
        addresses: vec!["10.244.0.4".parse().unwrap()],
        labels: serde_json::from_str(r#"{"app": "reviews"}"#).unwrap(),
        identity: mesh_tls::SpiffeId::new("cluster.local", "default", "reviews").unwrap(),
        cluster_domain: "cluster.local".to_owned(),
        cluster_id: "local".to_owned(),
        mesh_id: "cluster.local".to_owned(),
    };
    for (kind, discovery) in
        [(Kind::Envoy, "pilot.mesh-system:15010"), (Kind::Mesh, "10.244.0.1:15010")]
    {
        let folder = tempfile::tempdir().unwrap();
        let security = bootstrap::Security {
            secrets: folder.path().join("sds.sock"),
            discovery_san: "mesh-pilot.mesh-system.svc".to_owned(),
        };
        let discovery = discovery.parse().unwrap();
        let document = bootstrap::build(kind, &node, &discovery, Some(&security), 15000);
        let path = folder.path().join("rev0.json");
        std::fs::write(&path, document.to_string()).unwrap();
        run(envoy.to_str().unwrap(), &["--mode", "validate", "-c", path.to_str().unwrap()]);
    }
}

const CLUSTER: &str = "
name: echo
type: STATIC
load_assignment:
  cluster_name: echo
  endpoints:
  - lb_endpoints:
    - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}
";

const LISTENER: &str = "
name: tcp
address: {socket_address: {address: 127.0.0.1, port_value: 8000}}
filter_chains:
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: echo
      cluster: echo
";

fn echo() {
    let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        }
    });
}

fn echoes(connection: &mut TcpStream) {
    let mut byte = [0];
    connection.write_all(b"x").unwrap();
    connection.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn envoy_is_live_with_its_first_configuration_and_leaves_with_its_last_connection() {
    let Some(envoy) = envoy::binary() else { return };
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    echo();
    let more = ["--minimum-drain-s", "0", "--termination-drain-s", "600"];
    let mut agent = Agent::start(|_| envoy, &more);
    becomes("503", "INITIALIZING");
    let pilot = XdsServer::start_at("127.0.0.1:15010".parse().unwrap());
    pilot.set::<Cluster>("1", &[from_yaml(CLUSTER).unwrap()]);
    pilot.set::<Listener>("1", &[from_yaml(LISTENER).unwrap()]);
    becomes("200", "ready");
    let first = pilot.wait_for("a node", |request| request.node.is_some());
    let node = first.node.unwrap();
    assert_eq!(node.id, "sidecar~10.244.0.4~reviews-v1-0.default~default.svc.cluster.local");

    let mut connection = TcpStream::connect("127.0.0.1:8000").unwrap();
    echoes(&mut connection);
    agent.signal(Signal::SIGTERM);
    becomes("503", "terminating");
    echoes(&mut connection);
    assert!(agent.child.try_wait().unwrap().is_none(), "a connection is left");
    drop(connection);
    assert_eq!(agent.exit_code(), Some(0));
}
