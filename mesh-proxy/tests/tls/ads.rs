//! ADS over mutual TLS, with the certificate that SDS gives, and SDS on the same stream.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use mesh_proto::text;
use mesh_testkit::{Process, XdsServer, eventually, free_port};
use mesh_tls::SanMatcher;

use crate::common::{self, static_cluster, tcp_proxy};
use crate::files::{Files, Pki, ads_mutual, chain, listener, sds_cluster, sds_upstream, uri};
use crate::peer;
use crate::sds::{exchange, secrets, serial};

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// A pilot of this certificate, for those whose account is `sidecar`.
fn pilot(pki: &Pki, own: &Files) -> XdsServer {
    let names = [SanMatcher::uri(uri("sidecar"))];
    let verifier = mesh_tls::client_verifier(Some(&pki.authority.bundle()), &names, true);
    let alpn = [b"h2".to_vec()];
    let config =
        mesh_tls::server_config(&own.credentials, Some(verifier), &alpn, mesh_tls::VERSIONS);
    XdsServer::start_tls(Arc::new(config.unwrap()))
}

/// A sidecar that has everything from a pilot, and its identity by SDS.
fn sidecar(pki: &Pki, pilot: SocketAddr, account: &str) -> Process {
    sidecar_of(pki, &static_cluster("xds-grpc", &[pilot]), account)
}

/// The same, with the cluster of the pilot.
fn sidecar_of(pki: &Pki, xds: &str, account: &str) -> Process {
    let tls = sds_upstream(account, "0s");
    let sds = sds_cluster(&pki.path("sds.sock"));
    let file = pki.path("bootstrap.yaml");
    let text = format!(
        "
node: {{id: sidecar, cluster: a}}
dynamic_resources:
  lds_config: {{ads: {{}}, resource_api_version: V3, initial_fetch_timeout: 0s}}
  cds_config: {{ads: {{}}, resource_api_version: V3, initial_fetch_timeout: 0s}}
  ads_config: {{api_type: GRPC, transport_api_version: V3, grpc_services: [{{envoy_grpc: {{cluster_name: xds-grpc}}}}]}}
static_resources:
  clusters:
{xds}    http2_protocol_options: {{}}
    {tls}
{sds}"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
    command.args(["--concurrency", "1", "-c"]).arg(&file);
    Process::start("mesh-proxy", &mut command)
}

/// The one item of a list in YAML.
fn item<M: prost::Message + prost::Name + Default>(list: &str) -> M {
    text::from_yaml(&list.replacen("  - ", "    ", 1)).unwrap()
}

#[test]
fn a_sidecar_waits_for_its_certificate_and_then_asks_by_mutual_tls() {
    let pki = Pki::new();
    let (own, mine) = (pki.files("pilot"), pki.files("sidecar"));
    let server = pilot(&pki, &own);
    let _proxy = sidecar(&pki, server.address(), "pilot");
    let agent = XdsServer::start_unix(&pki.path("sds.sock"));
    let asked = agent.wait_for("a request for secrets", |_| true);
    assert_eq!(asked.names, ["ROOTCA", "default"]);
    assert_eq!(server.streams(), 0, "not without a certificate");
    agent.set("1", &secrets(&pki, &mine));
    server.wait_for("a request for clusters", |_| true);

    // Secrets come by ADS, too; the listener waits for them.
    let front = local();
    let upstream = common::greeter("hello ", "127.0.0.1:0");
    let tls = ads_mutual("client");
    let chains = [chain("", &tls, &tcp_proxy("cluster: a"))];
    server.set("1", &[item::<Cluster>(&static_cluster("a", &[upstream]))]);
    server.set("1", &[item::<Listener>(&listener("l", front, "", &chains))]);
    // Asked for before the listener is acknowledged.
    let asked = server.wait_for("secrets by ADS", |seen| seen.type_url.ends_with(".Secret"));
    assert_eq!(asked.names, ["ROOTCA", "default"]);
    server.wait_for_ack::<Listener>("1");
    assert!(std::net::TcpStream::connect(front).is_err(), "it does not listen yet");
    let gateway = pki.files("gateway");
    server.set("1", &secrets(&pki, &gateway));
    server.wait_for_ack::<Secret>("1");
    let caller = pki.files("client");
    let mut stream = peer::client(&pki, Some(&caller), &[], front);
    exchange(&mut stream).unwrap();
    assert_eq!(serial(&stream), gateway.credentials.details().serial);

    // A new certificate is used by the next stream.
    agent.set("2", &secrets(&pki, &pki.files("sidecar")));
    agent.wait_for_ack::<Secret>("2");
    server.disconnect();
    eventually("a new stream", || (server.streams() == 1).then_some(()));
}

#[test]
fn a_pilot_by_its_name_is_asked_as_soon_as_there_is_a_certificate() {
    let pki = Pki::new();
    let (own, mine) = (pki.files("pilot"), pki.files("sidecar"));
    let server = pilot(&pki, &own);
    let agent = XdsServer::start_unix(&pki.path("sds.sock"));
    agent.set("1", &secrets(&pki, &mine));
    let xds = static_cluster("xds-grpc", &[server.address()]);
    let xds = xds.replace("STATIC", "STRICT_DNS").replace("127.0.0.1", "localhost");
    let _proxy = sidecar_of(&pki, &xds, "pilot");
    server.wait_for("a request for clusters", |_| true);
}

#[test]
fn a_pilot_of_another_identity_is_told_nothing() {
    let pki = Pki::new();
    let (own, mine) = (pki.files("impostor"), pki.files("sidecar"));
    let server = pilot(&pki, &own);
    let proxy = sidecar(&pki, server.address(), "pilot");
    let agent = XdsServer::start_unix(&pki.path("sds.sock"));
    agent.set("1", &secrets(&pki, &mine));
    agent.wait_for_ack::<Secret>("1");
    eventually("a line about it", || {
        let output = proxy.log();
        let expected =
            "the peer's certificate is for spiffe://cluster.local/ns/default/sa/impostor";
        output.contains(expected).then_some(())
    });
    assert_eq!(server.streams(), 0);
}
