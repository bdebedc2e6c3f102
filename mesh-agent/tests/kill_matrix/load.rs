//! The load, its upstream, and the proxy's configuration between them. All of it is in this
//! thread's network namespace, so the ports are fixed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mesh_testkit::binary::binary;
use serde_json::{Value, json};

const HTTP: &str = "127.0.0.1:8000";
const TCP: &str = "127.0.0.1:8001";
const UPSTREAM_HTTP: &str = "127.0.0.1:9000";
const UPSTREAM_TCP: &str = "127.0.0.1:9001";

/// mesh-load's upstream; killed when dropped.
pub(crate) struct Upstream(Child);

impl Upstream {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(binary("mesh-load"));
        command.args(["upstream", "--http", UPSTREAM_HTTP, "--tcp", UPSTREAM_TCP]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        // It listens when it says where.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// A running load; killed when dropped.
pub(crate) struct Load {
    child: Child,
    control: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Load {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scenario.json");
        std::fs::write(&file, scenario().to_string()).unwrap();
        let mut command = Command::new(binary("mesh-load"));
        command.arg("run").arg(&file).arg("--control");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let control = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut load = Self { child, control, lines };
        // It has read its file when it says something.
        load.next_second();
        load
    }

    /// Waits until a second more has been reported.
    pub(crate) fn next_second(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    pub(crate) fn stop(mut self) -> Value {
        self.control.write_all(b"stop\n").unwrap();
        loop {
            let mut line = self.next_second();
            if line["report"].is_object() {
                return line["report"].take();
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Streams and upgraded connections live shorter than a drain takes. All cells that run at a
/// time have room on two processors.
fn scenario() -> Value {
    let client = |name: &str, protocol, address, connections, streams, rate: f64, messages| {
        json!({"name": name, "protocol": protocol, "address": address, "rate": rate,
               "connections": connections, "streams": streams, "messages": messages})
    };
    json!({"clients": [
        client("HTTP/1.1", "http1", HTTP, 8, 1, 50.0, 1),
        client("HTTP/2", "http2", HTTP, 2, 4, 40.0, 1),
        client("gRPC", "grpc", HTTP, 1, 4, 40.0, 20),
        client("WebSocket", "websocket", HTTP, 2, 1, 20.0, 20),
        client("TCP", "tcp", TCP, 2, 1, 20.0, 20),
        client("TCP, short", "tcp", TCP, 1, 1, 10.0, 1),
        client("connections", "connect", HTTP, 1, 1, 100.0, 1),
    ]})
}

pub(crate) fn configuration() -> String {
    let listener = |name, address, filter| json!({"name": name, "address": socket(address), "filter_chains": [{"filters": [filter]}]});
    let route = |prefix: &str, cluster: &str| json!({"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "0s"}});
    let manager = filter(
        "http_connection_manager",
        "HttpConnectionManager",
        json!({
            "stat_prefix": "http",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {"name": "all", "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [route("/websocket", "http1"), route("/", "http2")],
            }]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }}],
        }),
    );
    let proxy = filter("tcp_proxy", "TcpProxy", json!({"stat_prefix": "tcp", "cluster": "tcp"}));
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let mut http2 = cluster("http2", UPSTREAM_HTTP);
    http2["typed_extension_protocol_options"] = json!({options: {
        "@type": format!("type.googleapis.com/{options}"),
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    let all = json!({
        "admin": {"address": socket("127.0.0.1:15000")},
        "node": {"id": "kill-matrix", "cluster": "kill-matrix"},
        "static_resources": {
            "listeners": [listener("http", HTTP, manager), listener("tcp", TCP, proxy)],
            "clusters": [cluster("http1", UPSTREAM_HTTP), http2, cluster("tcp", UPSTREAM_TCP)],
        },
    });
    all.to_string()
}

fn socket(address: &str) -> Value {
    let (ip, port) = address.split_once(':').unwrap();
    json!({"socket_address": {"address": ip, "port_value": port.parse::<u16>().unwrap()}})
}

fn filter(name: &str, message: &str, mut config: Value) -> Value {
    let kind = format!("type.googleapis.com/envoy.extensions.filters.network.{name}.v3.{message}");
    config["@type"] = kind.into();
    json!({"name": format!("envoy.filters.network.{name}"), "typed_config": config})
}

fn cluster(name: &str, address: &str) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket(address)}},
        ]}]},
    })
}
