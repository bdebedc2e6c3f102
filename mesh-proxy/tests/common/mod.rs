//! What the tests of connections share: the proxy with a file, and small upstreams.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use mesh_testkit::{DEADLINE, Process, eventually};

/// A proxy that runs with a bootstrap file.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts one with these static listeners and clusters (YAML lists), and two workers.
    pub(crate) fn start(listeners: &[String], clusters: &[String]) -> Self {
        Self::start_by(&mut Command::new(env!("CARGO_BIN_EXE_mesh-proxy")), listeners, clusters)
    }

    /// [`Proxy::start`] through another command, which ends with the proxy's path.
    pub(crate) fn start_by(
        command: &mut Command,
        listeners: &[String],
        clusters: &[String],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.yaml");
        let (listeners, clusters) = (listeners.concat(), clusters.concat());
        let text = format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}");
        std::fs::write(&file, text).unwrap();
        command.arg("-c").arg(&file).args(["--concurrency", "2"]);
        Self { process: Process::start("mesh-proxy", command), _folder: folder }
    }
}

/// A cluster with these endpoints on any addresses.
pub(crate) fn static_cluster(name: &str, addresses: &[SocketAddr]) -> String {
    let endpoint = |address: &SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!(
            "        - endpoint: {{address: {{socket_address: {{address: '{ip}', port_value: {port}}}}}}}\n"
        )
    };
    let endpoints: String = addresses.iter().map(endpoint).collect();
    format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}

/// A network filter that proxies TCP; `settings` is flow YAML such as `cluster: a`.
pub(crate) fn tcp_proxy(settings: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    format!("{{name: tcp, typed_config: {{'@type': {kind}, stat_prefix: tcp, {settings}}}}}")
}

/// A listener; `more` is flow YAML of further fields, each ended by a comma.
pub(crate) fn listener(name: &str, address: SocketAddr, more: &str, filter: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "  - {{name: {name}, {more} address: {{socket_address: {{address: '{ip}', port_value: {port}}}}}, \
         filter_chains: [{{filters: [{filter}]}}]}}\n"
    )
}

/// Says `name` to whoever connects, and then what it hears, until that ends.
pub(crate) fn greeter(name: &'static str, address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for io in listener.incoming() {
            let mut io = io.unwrap();
            thread::spawn(move || {
                io.write_all(name.as_bytes())?;
                std::io::copy(&mut io.try_clone()?, &mut io)
            });
        }
    });
    address
}

/// A connection that fails a test rather than waits for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let connected = || TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok();
    let io = eventually(&format!("a connection to {address}"), connected);
    io.set_read_timeout(Some(DEADLINE)).unwrap();
    io
}

/// All that comes over a connection on which nothing is sent.
pub(crate) fn hears(address: SocketAddr) -> String {
    let io = connect(address);
    io.shutdown(std::net::Shutdown::Write).unwrap();
    read_all(io)
}

/// The rest of what comes; what came before a reset counts. Fails when the connection
/// does not end.
pub(crate) fn read_all(mut io: TcpStream) -> String {
    let mut heard = Vec::new();
    let ended = io.read_to_end(&mut heard);
    let heard = String::from_utf8_lossy(&heard).into_owned();
    let timed_out = ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(!timed_out, "the connection never ended; it said {heard:?}");
    heard
}
