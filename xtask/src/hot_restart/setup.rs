//! What the proxy is told, and what load is made.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{self, Files, Protocol};
use crate::command;
use crate::process::free_addresses;

/// The time over which a proxy that was replaced lets its connections go.
pub(super) const DRAIN: Duration = Duration::from_secs(4);

/// How long a stream or an upgraded connection lives: it ends by itself during a drain.
const LIFE: f64 = 2.0;

/// The identity of the proxy.
const SERVER: &str = "server";

/// Everything around the proxy.
pub(super) struct Setup {
    folder: TempDir,
    pub(super) load: PathBuf,
    pub(super) admin: SocketAddr,
    pub(super) agent_pages: [SocketAddr; 2],
    pub(super) upstream: Upstream,
    /// HTTP/1.1 alone, any HTTP, any HTTP by mutual TLS, TCP, TCP by mutual TLS.
    listeners: [SocketAddr; 5],
}

/// mesh-load's, running; killed when dropped.
pub(super) struct Upstream {
    child: Child,
    pub(super) http: SocketAddr,
    pub(super) tcp: SocketAddr,
}

impl Setup {
    /// Makes files and certificates, and starts the upstream.
    pub(super) fn new(load: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let mut certificates = Command::new(load);
        certificates.args(["certificates", "--folder"]).arg(folder.path());
        command::read(certificates.args([SERVER, "client"]))?;
        let upstream = Upstream::start(load)?;
        let [admin, status, ready, listeners @ ..] = free_addresses::<8>()?;
        let setup = Self {
            folder,
            load: load.to_owned(),
            admin,
            agent_pages: [status, ready],
            upstream,
            listeners,
        };
        std::fs::create_dir(setup.config_dir())?;
        std::fs::write(setup.bootstrap(), format!("{:#}", setup.configuration()))?;
        Ok(setup)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The agent's folder.
    pub(super) fn config_dir(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// The proxy's configuration.
    pub(super) fn bootstrap(&self) -> PathBuf {
        self.folder.path().join("bootstrap.json")
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.listeners.iter().map(SocketAddr::port).collect()
    }

    fn configuration(&self) -> Value {
        let [http1, http, https, tcp, tcps] = self.listeners;
        let long = |prefix: &str, cluster: &str| json!({"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "0s"}});
        let any = json!([long("/websocket", "http1"), long("/", "http2")]);
        let manager = |name| bootstrap::http_connection_manager_with(name, &any);
        let listener = |name: &str, at, chain: Value| json!({"name": name, "address": bootstrap::address(at), "filter_chains": [chain]});
        let [https_tls, tcps_tls] = [&["h2", "http/1.1"][..], &[]].map(|alpn| self.tls(alpn));
        json!({
            "admin": {"address": bootstrap::address(self.admin)},
            "node": {"id": "hot-restart", "cluster": "hot-restart"},
            "static_resources": {
                "listeners": [
                    bootstrap::http_listener("http1", http1, "http1"),
                    listener("http", http, json!({"filters": [manager("http")]})),
                    listener("https", https, json!({
                        "filters": [manager("https")],
                        "transport_socket": https_tls,
                    })),
                    listener("tcp", tcp, json!({"filters": [bootstrap::tcp_proxy("tcp", "tcp")]})),
                    listener("tcps", tcps, json!({
                        "filters": [bootstrap::tcp_proxy("tcps", "tcp")],
                        "transport_socket": tcps_tls,
                    })),
                ],
                "clusters": [
                    bootstrap::cluster("http1", self.upstream.http, Protocol::Http1),
                    bootstrap::cluster("http2", self.upstream.http, Protocol::Http2),
                    bootstrap::cluster("tcp", self.upstream.tcp, Protocol::Tcp),
                ],
            },
        })
    }

    fn tls(&self, alpn: &[&str]) -> Value {
        let [certificate, key, roots] = self.files(SERVER);
        let files = Files { certificate: &certificate, key: &key, roots: &roots };
        bootstrap::downstream_tls(files, alpn)
    }

    fn files(&self, name: &str) -> [PathBuf; 3] {
        let file = |name: String| self.folder.path().join(name);
        [file(format!("{name}.pem")), file(format!("{name}.key")), file("root.pem".to_owned())]
    }

    /// The mixed load, with so many requests a second in all.
    pub(super) fn scenario(&self, rate: u32) -> Value {
        let [http1, http, https, tcp, tcps] = self.listeners;
        let [certificate, key, roots] = self.files("client");
        // Name, protocol, where to, connections, streams, and the share of the rate.
        let kinds: [(&str, &str, SocketAddr, u32, u32, f64); 12] = [
            ("HTTP/1.1", "http1", http1, 32, 1, 0.28),
            // Each connection idles for a while between two requests.
            ("HTTP/1.1, mostly idle", "http1", http1, 16, 1, 20.0 / f64::from(rate)),
            ("HTTP/1.1, mTLS", "http1", https, 8, 1, 0.10),
            ("HTTP/2", "http2", http, 4, 16, 0.25),
            ("HTTP/2, mTLS", "http2", https, 2, 16, 0.10),
            ("gRPC streams", "grpc", http, 2, 8, 0.08),
            ("gRPC streams, mTLS", "grpc", https, 1, 8, 0.04),
            ("WebSocket", "websocket", http, 8, 1, 0.05),
            ("WebSocket, mTLS", "websocket", https, 4, 1, 0.02),
            ("TCP", "tcp", tcp, 8, 1, 0.04),
            ("TCP, mTLS", "tcp", tcps, 4, 1, 0.02),
            ("TCP, short", "tcp", tcp, 4, 1, 0.02),
        ];
        let mut clients: Vec<Value> = Vec::new();
        for (name, protocol, address, connections, streams, share) in kinds {
            let rate = share * f64::from(rate);
            let each = rate / f64::from(connections * streams);
            let messages = if name == "TCP, short" { 1 } else { (each * LIFE).ceil() as u32 };
            clients.push(json!({
                "name": name, "protocol": protocol, "address": address, "rate": rate,
                "connections": connections, "streams": streams, "messages": messages,
                "tls": name.ends_with("mTLS"),
            }));
        }
        // Does anybody accept, at every moment?
        clients.push(json!({
            "name": CONNECTOR, "protocol": "connect", "address": http, "rate": CONNECTS,
        }));
        json!({
            "tls": {
                "certificate": certificate,
                "key": key,
                "roots": roots,
                "server": format!("spiffe://cluster.local/ns/default/sa/{SERVER}"),
            },
            "clients": clients,
        })
    }
}

/// The client that only connects, and how often in a second.
pub(super) const CONNECTOR: &str = "connections alone";
const CONNECTS: f64 = 1000.0;

impl Upstream {
    fn start(load: &Path) -> Result<Self> {
        let mut command = Command::new(load);
        command.arg("upstream").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| load.display().to_string())?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the upstream's output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the upstream's addresses")?;
        let address = |name: &str| -> Result<SocketAddr> {
            let address = said[name].as_str().with_context(|| format!("no {name}: {line}"))?;
            Ok(address.parse()?)
        };
        Ok(Self { http: address("http")?, tcp: address("tcp")?, child })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
