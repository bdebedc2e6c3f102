//! Secrets by SDS over a Unix socket: waited for, rotated, refused, and missed.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mesh_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret::Type,
};
use mesh_testkit::{XdsServer, client, eventually, eventually_async, free_port};
use mesh_tls::CertificateDetails;

use crate::common::{self, Proxy, connect, static_cluster, tcp_proxy};
use crate::files::{Files, Pki, chain, listener, sds_cluster, sds_mutual, with_admin};
use crate::peer::{self, Client};

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

fn inline(text: String) -> Option<DataSource> {
    Some(DataSource { specifier: Some(Specifier::InlineString(text)), ..Default::default() })
}

/// The two secrets of a workload, as the agent has them.
pub(crate) fn secrets(pki: &Pki, own: &Files) -> [Secret; 2] {
    let certificate = TlsCertificate {
        certificate_chain: inline(own.credentials.chain_pem()),
        private_key: inline(own.credentials.key().to_pem()),
        ..Default::default()
    };
    let roots = CertificateValidationContext {
        trusted_ca: inline(pki.authority.root_pem().to_owned()),
        ..Default::default()
    };
    [
        Secret { name: "default".to_owned(), r#type: Some(Type::TlsCertificate(certificate)) },
        Secret { name: "ROOTCA".to_owned(), r#type: Some(Type::ValidationContext(roots)) },
    ]
}

/// A TCP proxy behind mutual TLS whose secrets come by SDS.
struct Bench {
    pki: Pki,
    front: SocketAddr,
    admin: SocketAddr,
    socket: std::path::PathBuf,
    mine: Files,
    _proxy: Proxy,
}

impl Bench {
    /// `timeout` is the `initial_fetch_timeout`.
    fn start(timeout: &str) -> Self {
        let pki = Pki::new();
        let socket = pki.path("sds.sock");
        let (front, admin) = (local(), local());
        let upstream = common::greeter("hello ", "127.0.0.1:0");
        let tls = sds_mutual("client", timeout);
        let listeners = listener("l", front, "", &[chain("", &tls, &tcp_proxy("cluster: a"))]);
        let clusters = [static_cluster("a", &[upstream]), sds_cluster(&socket)];
        let mut command = with_admin(admin);
        let proxy = Proxy::start_by(&mut command, &[listeners], &clusters);
        let mine = pki.files("client");
        Self { pki, front, admin, socket, mine, _proxy: proxy }
    }

    fn client(&self) -> Client {
        peer::client(&self.pki, Some(&self.mine), &[], self.front)
    }

    /// Asks once on a connection of its own; gives the serial number of who answered.
    fn ask(&self) -> std::io::Result<String> {
        let mut stream = self.client();
        exchange(&mut stream)?;
        Ok(serial(&stream))
    }

    async fn stats(&self, filter: &str) -> String {
        let path = format!("/stats?filter={filter}");
        client::get(self.admin, "admin", &path).await.unwrap().text()
    }
}

pub(crate) fn exchange(stream: &mut Client) -> std::io::Result<()> {
    stream.write_all(b"x")?;
    stream.flush()?;
    stream.read_exact(&mut [0; 1])
}

pub(crate) fn serial(stream: &Client) -> String {
    let chain = stream.conn.peer_certificates().unwrap();
    CertificateDetails::parse(&chain[0]).unwrap().serial
}

#[test]
fn a_listener_opens_with_its_first_secrets_and_follows_them() {
    let bench = Bench::start("0s");
    let server = XdsServer::start_unix(&bench.socket);
    let asked = server.wait_for("a request", |_| true);
    assert_eq!(asked.names, ["ROOTCA", "default"]);
    assert!(std::net::TcpStream::connect(bench.front).is_err(), "it does not listen yet");
    let own = bench.pki.files("server");
    let [certificate, roots] = secrets(&bench.pki, &own);
    server.set("1", std::slice::from_ref(&roots));
    server.wait_for_ack::<Secret>("1");
    assert!(std::net::TcpStream::connect(bench.front).is_err(), "half is not enough");
    server.set("2", &[certificate, roots]);
    let mut old = bench.client();
    exchange(&mut old).unwrap();
    let first = serial(&old);
    assert_eq!(first, own.credentials.details().serial);

    // What is no certificate changes nothing, and the answer tells why but not what.
    let broken = TlsCertificate {
        certificate_chain: inline("-----BEGIN CERTIFICATE-----\nhush\n".to_owned()),
        private_key: inline("hush".to_owned()),
        ..Default::default()
    };
    let kind = Some(Type::TlsCertificate(broken));
    server.set("3", &[Secret { name: "default".to_owned(), r#type: kind }]);
    let why = server.wait_for_nack::<Secret>();
    assert!(why.contains("secret default: tls_certificate.private_key.inline_string"), "{why}");
    assert!(!why.contains("hush"), "{why}");
    assert_eq!(bench.ask().unwrap(), first);

    // Away, and back with another one.
    drop(server);
    assert_eq!(bench.ask().unwrap(), first);
    let server = XdsServer::start_unix(&bench.socket);
    let next = bench.pki.files("server");
    server.set("4", &secrets(&bench.pki, &next));
    server.wait_for_ack::<Secret>("4");
    assert_eq!(bench.ask().unwrap(), next.credentials.details().serial);
    // A connection keeps what it began with.
    exchange(&mut old).unwrap();
    assert_eq!(serial(&old), first);
}

#[test]
fn rotation_under_load_fails_nobody() {
    const ROTATIONS: usize = 20;
    let bench = Bench::start("0s");
    let server = XdsServer::start_unix(&bench.socket);
    server.set("0", &secrets(&bench.pki, &bench.pki.files("server")));
    let mut old = bench.client();
    exchange(&mut old).unwrap();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    bench.ask().unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for rotation in 1..=ROTATIONS {
            let own = bench.pki.files("server");
            let version = rotation.to_string();
            server.set(&version, &secrets(&bench.pki, &own));
            server.wait_for_ack::<Secret>(&version);
            let before = asked.load(Ordering::Relaxed);
            assert_eq!(bench.ask().unwrap(), own.credentials.details().serial);
            eventually("load goes on", || (asked.load(Ordering::Relaxed) > before).then_some(()));
            exchange(&mut old).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_waited_enough_refuses_until_the_secret_comes() {
    let bench = Bench::start("0.1s");
    drop(connect(bench.front));
    assert!(bench.ask().is_err(), "closed without a word");
    let name = "server_ssl_socket_factory.downstream_context_secrets_not_ready";
    eventually_async("it to be counted", async || {
        let stats = bench.stats(name).await;
        (stats.contains(name) && !stats.trim().ends_with(": 0")).then_some(())
    })
    .await;
    let server = XdsServer::start_unix(&bench.socket);
    let own = bench.pki.files("server");
    server.set("1", &secrets(&bench.pki, &own));
    server.wait_for_ack::<Secret>("1");
    assert_eq!(bench.ask().unwrap(), own.credentials.details().serial);
    let certs = client::get(bench.admin, "admin", "/certs").await.unwrap().json();
    let shown = &certs["certificates"][0]["cert_chain"][0];
    assert_eq!(shown["serial_number"], own.credentials.details().serial.as_str(), "{certs}");
    assert_eq!(shown["subject_alt_names"][0]["uri"], crate::files::uri("server").as_str());
    assert_eq!(certs["certificates"][0]["ca_cert"].as_array().unwrap().len(), 1);
    let dump = client::get(bench.admin, "admin", "/config_dump").await.unwrap().text();
    assert!(dump.contains("SecretsConfigDump") && dump.contains("[redacted]"), "{dump}");
    assert!(!dump.contains("PRIVATE KEY"), "{dump}");
}
