//! A place where one proxy takes over from another.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use mesh_testkit::{DEADLINE, Process, Upstream, eventually, free_ports};
use serde_json::Value;

use crate::common::{greeter, listener, static_cluster, tcp_proxy};

/// The addresses and the upstreams that all proxies of a site have, and their folder.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) admin: SocketAddr,
    /// HTTP, to an upstream that answers with what it heard; `/ws` may be upgraded.
    pub(crate) http: SocketAddr,
    /// The same listener's other address.
    pub(crate) http_too: SocketAddr,
    /// TCP, to one that says hello and then what it hears.
    pub(crate) tcp: SocketAddr,
    _upstream: Upstream,
    listeners: [String; 2],
    clusters: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [admin, http, tcp] = free_ports().map(local);
        let http_too = SocketAddr::from(([127, 0, 0, 2], http.port()));
        let upstream = Upstream::start("up");
        let clusters = [
            static_cluster("up", &[upstream.address()]),
            static_cluster("hello", &[greeter("hello", "127.0.0.1:0")]),
            static_cluster("ws", &[upgrader()]),
        ];
        let listeners = [
            listener("http", http, &additional(http_too), &connection_manager()),
            listener("tcp", tcp, "", &tcp_proxy("cluster: hello")),
        ];
        let clusters = clusters.concat();
        Self { folder, admin, http, http_too, tcp, _upstream: upstream, listeners, clusters }
    }

    /// The socket of an epoch.
    pub(crate) fn socket(&self, epoch: u32) -> PathBuf {
        self.folder.path().join(format!("hot-restart.0.{epoch}"))
    }

    /// A file with both listeners, and perhaps more.
    pub(crate) fn file(&self, name: &str, more: &[String]) -> PathBuf {
        self.file_of(name, &[&self.listeners[..], more].concat())
    }

    /// A file with only the HTTP listener.
    pub(crate) fn file_without_tcp(&self) -> PathBuf {
        self.file_of("http.yaml", &self.listeners[..1])
    }

    /// A file with both listeners, of which HTTP has one address less.
    pub(crate) fn file_without_http_too(&self) -> PathBuf {
        let listeners =
            self.listeners.clone().map(|one| one.replace(&additional(self.http_too), ""));
        self.file_of("less.yaml", &listeners)
    }

    fn file_of(&self, name: &str, listeners: &[String]) -> PathBuf {
        let (listeners, clusters) = (listeners.concat(), &self.clusters);
        self.write(
            name,
            &format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}"),
        )
    }

    /// A file with this beside the admin pages.
    pub(crate) fn file_with(&self, text: &str) -> PathBuf {
        self.write("other.yaml", text)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let port = self.admin.port();
        let admin = format!(
            "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n"
        );
        let path = self.folder.path().join(name);
        std::fs::write(&path, admin + text).unwrap();
        path
    }

    pub(crate) fn start(&self, epoch: u32, flags: &[&str]) -> Process {
        self.start_with(&self.file("proxy.yaml", &[]), epoch, flags)
    }

    pub(crate) fn start_with(&self, file: &PathBuf, epoch: u32, flags: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
        command.arg("-c").arg(file).args(["--restart-epoch", &epoch.to_string()]);
        command.arg("--socket-path").arg(self.folder.path().join("hot-restart"));
        command.args(["-l", "debug"]).args(flags);
        if !flags.contains(&"--concurrency") {
            command.args(["--concurrency", "2"]);
        }
        Process::start(&format!("epoch {epoch}"), &mut command)
    }

    /// Starts epoch 0 and waits until it serves.
    pub(crate) fn first(&self, flags: &[&str]) -> Process {
        let process = self.start(0, flags);
        self.until_epoch(0);
        process
    }

    /// Waits until this epoch answers on the admin pages, and serves.
    pub(crate) fn until_epoch(&self, epoch: u32) {
        eventually(&format!("epoch {epoch} to serve"), || {
            (self.epoch()? == epoch && page(self.admin, "/ready")? == "LIVE\n").then_some(())
        });
    }

    /// The epoch that answers on the admin pages.
    pub(crate) fn epoch(&self) -> Option<u32> {
        let info: Value = serde_json::from_str(&page(self.admin, "/server_info")?).unwrap();
        info["command_line_options"]["restart_epoch"].as_u64().map(|epoch| epoch as u32)
    }

    /// A number from the admin pages; 0 when there is none of the name.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let page = eventually("the stats", || page(self.admin, &format!("/stats?filter=^{name}$")));
        page.trim().rsplit_once(": ").map_or(0, |(_, value)| value.parse().unwrap())
    }

    pub(crate) fn until_stat(&self, name: &str, value: u64) {
        eventually(&format!("{name} to be {value}"), || (self.stat(name) == value).then_some(()));
    }

    /// A TCP connection that has been greeted.
    pub(crate) fn greeted(&self) -> TcpStream {
        let mut io = connect(self.tcp).unwrap();
        let mut greeting = [0; 5];
        io.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello");
        io
    }
}

pub(crate) fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

pub(crate) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let io = TcpStream::connect_timeout(&address, DEADLINE)?;
    io.set_read_timeout(Some(DEADLINE))?;
    Ok(io)
}

/// Whether what is sent comes back.
pub(crate) fn echoes(io: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    io.write_all(b"ping").is_ok() && io.read_exact(&mut back).is_ok() && &back == b"ping"
}

/// The body of a page, over a connection of its own; `None` when there is no whole one.
pub(crate) fn page(address: SocketAddr, path: &str) -> Option<String> {
    let mut io = connect(address).ok()?;
    write!(io, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    io.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 ").then(|| body.to_owned())
}

/// Upgrades a connection on `/ws`; it echoes then.
pub(crate) fn websocket(address: SocketAddr) -> TcpStream {
    let mut io = connect(address).unwrap();
    io.write_all(
        b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .unwrap();
    let head = read_head(&mut io);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    io
}

/// A further address of a listener.
fn additional(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let address = format!("address: {{socket_address: {{address: {ip}, port_value: {port}}}}}");
    format!("additional_addresses: [{{{address}}}],")
}

fn read_head(io: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && io.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Upgrades whatever is asked, and then says what it hears.
fn upgrader() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for io in listener.incoming() {
            let mut io = io.unwrap();
            thread::spawn(move || {
                read_head(&mut io);
                let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                            upgrade: websocket\r\n\r\n";
                io.write_all(head.as_bytes())?;
                std::io::copy(&mut io.try_clone()?, &mut io)
            });
        }
    });
    address
}

fn connection_manager() -> String {
    let extensions = "type.googleapis.com/envoy.extensions.filters";
    let kind = format!("{extensions}.network.http_connection_manager.v3.HttpConnectionManager");
    let router = format!("{extensions}.http.router.v3.Router");
    let route = |prefix: &str, cluster: &str| {
        format!("{{match: {{prefix: {prefix}}}, route: {{cluster: {cluster}}}}}")
    };
    let routes = [route("/ws", "ws"), route("/", "up")].join(", ");
    format!(
        "{{name: http, typed_config: {{'@type': {kind}, stat_prefix: front, \
         upgrade_configs: [{{upgrade_type: websocket}}], \
         route_config: {{virtual_hosts: [{{name: all, domains: ['*'], routes: [{routes}]}}]}}, \
         http_filters: [{{name: router, typed_config: {{'@type': {router}}}}}]}}}}"
    )
}
