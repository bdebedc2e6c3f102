//! The agent with the real control plane as its certificate authority. Each test in a
//! network namespace of its own, since the ports are fixed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use common::{Namespace, becomes, possible, script};
use mesh_testkit::{Process, binary, envoy, eventually};
use mesh_tls::{
    CertificateDetails, SanMatcher, TrustBundle, VERSIONS, client_config, server_verifier,
};
use tempfile::TempDir;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

const ID: &str = "spiffe://cluster.local/ns/default/sa/default";

/// Everything of one test, in a folder.
struct Mesh {
    folder: TempDir,
}

impl Mesh {
    fn new() -> Self {
        let mesh = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(mesh.path("config")).unwrap();
        fs::DirBuilder::new().mode(0o700).create(mesh.path("tokens")).unwrap();
        mesh
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pilot(&self, ttl: &str) -> Process {
        let mut command = Command::new(binary::binary("mesh-pilot"));
        command.arg("--config-dir").arg(self.path("config"));
        command.arg("--join-tokens").arg(self.path("tokens"));
        command.arg("--api-socket").arg(self.path("pilot.sock"));
        command.args(["--secure-address", "127.0.0.1:15012", "--workload-cert-ttl", ttl]);
        Process::start("mesh-pilot", &mut command)
    }

    /// Registers a join token, good for so many seconds, and puts it where the agent looks.
    fn token(&self, seconds: i64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        let (id, secret) = (format!("{now:032x}"), format!("{:032x}", now * 7));
        let expires = i64::try_from(now / 1_000_000_000).unwrap() + seconds;
        let text = format!(
            r#"{{"secret": "{secret}", "namespace": "default", "serviceAccount": "default",
                "pod": "reviews-v1-0", "expires": {expires}}}"#
        );
        let path = self.path("tokens").join(format!("{id}.json"));
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        fs::write(self.path("token.new"), format!("mesh-join.{id}.{secret}\n")).unwrap();
        fs::rename(self.path("token.new"), self.path("token")).unwrap();
    }

    fn agent(&self, proxy: &Path) -> Process {
        self.agent_of("sidecar", proxy)
    }

    fn agent_of(&self, role: &str, proxy: &Path) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-agent"));
        command.args(["proxy", role, "--discovery-address", "127.0.0.1:15012"]);
        command.arg("--config-dir").arg(self.path("proxy"));
        command.arg("--proxy-binary").arg(proxy);
        command.arg("--token-path").arg(self.path("token"));
        command.arg("--root-cert-path").arg(self.path("config-ca/root-cert.pem"));
        command.env("POD_NAME", "reviews-v1-0");
        command.env("POD_NAMESPACE", "default");
        command.env("INSTANCE_IP", "10.244.0.4");
        command.args(["--minimum-drain-s", "0"]);
        Process::start("mesh-agent", &mut command)
    }

    fn scripted_agent(&self) -> Process {
        self.agent(&script(self.folder.path(), "0"))
    }

    fn proxy_started(&self) -> bool {
        fs::read_to_string(self.path("log")).is_ok_and(|log| log.contains("start"))
    }
}

#[track_caller]
fn says(process: &Process, text: &str) {
    eventually(text, || process.log().contains(text).then_some(()));
}

#[test]
fn envoy_has_its_identity_first_and_then_its_configuration_over_mutual_tls() {
    let Some(envoy) = envoy::binary() else { return };
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mesh = Mesh::new();
    mesh.token(60);
    let agent = mesh.agent(&envoy);
    becomes("503", "waiting for the certificate");
    let pilot = mesh.pilot("24h");
    becomes("200", "ready");
    let log = agent.log();
    let certificate = log.find("a new certificate").unwrap();
    assert!(certificate < log.find("the proxy runs").unwrap(), "{log}");
    assert!(log.contains(ID), "{log}");
    says(&pilot, "proxy connected");
    let socket = fs::metadata(mesh.path("proxy/sds.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let private = |name: &str| name.starts_with(".sds");
    let files = fs::read_dir(mesh.path("proxy")).unwrap();
    assert!(!files.flatten().any(|file| private(&file.file_name().to_string_lossy())));
}

const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
    - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}
";

#[test]
fn a_gateways_proxy_has_an_identity_and_only_the_ports_of_its_gateways() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mesh = Mesh::new();
    fs::write(mesh.path("config/gateway.yaml"), GATEWAY).unwrap();
    mesh.token(60);
    let pilot = mesh.pilot("24h");
    let agent = mesh.agent_of("router", &binary::binary("mesh-proxy"));
    becomes("200", "ready");
    assert!(agent.log().contains(ID), "{}", agent.log());
    says(&pilot, "router~10.244.0.4~reviews-v1-0.default~default.svc.cluster.local");
    let mut edge = eventually("the gateway's port", || TcpStream::connect("127.0.0.1:8080").ok());
    edge.write_all(b"GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    edge.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    for port in [15001, 15006] {
        assert!(
            TcpStream::connect(("127.0.0.1", port)).is_err(),
            "nothing is redirected to {port}"
        );
    }
}

#[test]
fn a_token_that_expired_is_told_and_read_again() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mesh = Mesh::new();
    let agent = mesh.scripted_agent();
    let pilot = mesh.pilot("24h");
    says(&agent, "cannot read the token");
    mesh.token(-1);
    says(&agent, "the token has expired");
    says(&pilot, "expired_token");
    assert!(!mesh.proxy_started(), "not without an identity");
    mesh.token(60);
    says(&agent, "a new certificate");
    eventually("the proxy starts", || mesh.proxy_started().then_some(()));
}

#[test]
fn an_authority_that_is_away_at_renewal_is_asked_until_it_is_back() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mesh = Mesh::new();
    mesh.token(600);
    let mut pilot = mesh.pilot("10s");
    let agent = mesh.scripted_agent();
    says(&agent, "a new certificate");
    eventually("the proxy starts", || mesh.proxy_started().then_some(()));
    pilot.kill();
    says(&agent, "the certificate is not renewed");
    says(&agent, "ENDS SOON");
    says(&agent, "HAS ENDED");
    // Where all is slow there may have been one renewal before its end.
    let certificates = || agent.log().matches("a new certificate").count();
    let before = certificates();
    let _pilot = mesh.pilot("10s");
    eventually("another certificate", || (certificates() > before).then_some(()));
    let log = fs::read_to_string(mesh.path("log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.starts_with("start ")).count(), 1);
}

/// A listener that shows the certificate that Envoy has by SDS, and echoes.
fn sds_listener(socket: &Path) -> String {
    let sds = "sds_config: {api_config_source: {api_type: GRPC, transport_api_version: V3, \
               set_node_on_first_message_only: true, \
               grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}]}, \
               resource_api_version: V3, initial_fetch_timeout: 0s}";
    let socket = socket.display();
    format!(
        "
node: {{id: other, cluster: other}}
static_resources:
  listeners:
  - name: tls
    address: {{socket_address: {{address: 127.0.0.1, port_value: 8443}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: echo
          cluster: echo
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificate_sds_secret_configs: [{{name: default, {sds}}}]
            validation_context_sds_secret_config: {{name: ROOTCA, {sds}}}
  clusters:
  - name: echo
    type: STATIC
    load_assignment:
      cluster_name: echo
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 9000}}}}}}}}]}}]
  - name: sds-grpc
    type: STATIC
    load_assignment:
      cluster_name: sds-grpc
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{pipe: {{path: {socket}}}}}}}}}]}}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
"
    )
}

fn echo() {
    let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A connection with the listener, whose certificate must be the workload's.
fn connect(roots: &Path) -> Option<Secure> {
    let roots = TrustBundle::read(roots).unwrap();
    let verifier = server_verifier(Some(&roots), &[SanMatcher::uri(ID)]);
    let config = Arc::new(client_config(None, verifier, &[], VERSIONS).unwrap());
    let session = ClientConnection::new(config, "any".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect("127.0.0.1:8443").ok()?);
    echoes(&mut stream)?;
    Some(stream)
}

fn echoes(stream: &mut Secure) -> Option<()> {
    let mut byte = [0];
    stream.write_all(b"x").ok()?;
    stream.read_exact(&mut byte).ok().filter(|()| &byte == b"x")
}

fn serial(stream: &Secure) -> String {
    let leaf = &stream.conn.peer_certificates().unwrap()[0];
    CertificateDetails::parse(leaf).unwrap().serial
}

#[test]
fn a_rotation_is_seen_on_the_wire_and_breaks_no_connection() {
    if !possible(&["ip"]) || envoy::binary().is_none() {
        return;
    }
    let _namespace = Namespace::new();
    let mesh = Mesh::new();
    mesh.token(600);
    let _pilot = mesh.pilot("10s");
    let agent = mesh.scripted_agent();
    says(&agent, "a new certificate");
    echo();
    let file = mesh.path("envoy.yaml");
    fs::write(&file, sds_listener(&mesh.path("proxy/sds.sock"))).unwrap();
    let _envoy = envoy::start(&file, &[]).unwrap();
    let roots = mesh.path("config-ca/root-cert.pem");
    let mut old = eventually("a first connection", || connect(&roots));
    let first = serial(&old);
    let mut seen = vec![first];
    while seen.len() < 3 {
        let next = eventually("another certificate", || {
            let stream = connect(&roots)?;
            (!seen.contains(&serial(&stream))).then(|| serial(&stream))
        });
        seen.push(next);
        echoes(&mut old).unwrap();
    }
}
