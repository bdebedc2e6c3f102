//! The TCP proxy of the real program.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};

use common::{Proxy, connect, greeter, hears, listener, read_all, static_cluster, tcp_proxy};
use mesh_testkit::{eventually, free_port};

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[test]
fn either_side_may_say_its_last_word_first() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = local(free_port());
    let listeners = [listener("l", address, "", &tcp_proxy("cluster: a"))];
    let clusters = [static_cluster("a", &[upstream.local_addr().unwrap()])];
    let _proxy = Proxy::start(&listeners, &clusters);

    let mut client = connect(address);
    let (mut server, _) = upstream.accept().unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(read_all(client), "answer");

    let mut client = connect(address);
    let (mut server, _) = upstream.accept().unwrap();
    server.write_all(b"news").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "news");
    client.write_all(b"thanks").unwrap();
    drop(client);
    assert_eq!(read_all(server), "thanks");
}

#[test]
fn connections_are_shared_out_by_weight() {
    let [a, b] = ["a", "b"].map(|name| greeter(name, "127.0.0.1:0"));
    let address = local(free_port());
    let weights = "weighted_clusters: {clusters: [{name: a, weight: 3}, {name: b, weight: 1}]}";
    let listeners = [listener("l", address, "", &tcp_proxy(weights))];
    let _proxy = Proxy::start(&listeners, &[static_cluster("a", &[a]), static_cluster("b", &[b])]);
    let mut counts = HashMap::new();
    for _ in 0..400 {
        *counts.entry(hears(address)).or_insert(0) += 1;
    }
    // Six standard deviations (8.7) around 300.
    assert!((248..=352).contains(&counts["a"]), "{counts:?}");
    assert_eq!(counts["a"] + counts["b"], 400);
}

#[test]
fn least_request_counts_connections() {
    let [a, b] = ["a", "b"].map(|name| greeter(name, "127.0.0.1:0"));
    let address = local(free_port());
    let listeners = [listener("l", address, "", &tcp_proxy("cluster: c"))];
    let cluster = static_cluster("c", &[a, b]) + "    lb_policy: LEAST_REQUEST\n";
    let _proxy = Proxy::start(&listeners, &[cluster]);
    let mut open = Vec::new();
    let mut counts = HashMap::new();
    for _ in 0..32 {
        let mut io = connect(address);
        let mut name = [0];
        io.read_exact(&mut name).unwrap();
        *counts.entry(name).or_insert(0) += 1;
        open.push(io);
    }
    assert_eq!((counts[b"a"], counts[b"b"]), (16, 16));
}

#[test]
fn another_endpoint_is_tried_when_one_does_not_answer() {
    let alive = greeter("alive", "127.0.0.1:0");
    let dead = local(free_port());
    let address = local(free_port());
    let listeners = [listener("l", address, "", &tcp_proxy("cluster: a, max_connect_attempts: 2"))];
    let _proxy = Proxy::start(&listeners, &[static_cluster("a", &[dead, alive])]);
    for _ in 0..8 {
        assert_eq!(hears(address), "alive");
    }
}

#[test]
fn silence_ends_a_connection() {
    let upstream = greeter("hello", "127.0.0.1:0");
    let address = local(free_port());
    let settings = "cluster: a, idle_timeout: 3s";
    let _proxy = Proxy::start(
        &[listener("l", address, "", &tcp_proxy(settings))],
        &[static_cluster("a", &[upstream])],
    );
    // Ends although neither side closed.
    assert_eq!(read_all(connect(address)), "hello");
}

#[test]
fn a_connection_lasts_as_long_as_it_may_and_is_logged_meanwhile() {
    let address = local(free_port());
    let log = "{name: log, typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog, log_format: {text_format_source: {inline_string: \"flags %RESPONSE_FLAGS% sent %BYTES_SENT%\\n\"}}}}";
    let settings = format!(
        "cluster: a, max_downstream_connection_duration: 3s, access_log: [{log}], \
         access_log_options: {{flush_access_log_on_start: true, flush_access_log_on_connected: true, access_log_flush_interval: 0.05s}}"
    );
    let listeners = [listener("l", address, "", &tcp_proxy(&settings))];
    let clusters = [static_cluster("a", &[greeter("hello", "127.0.0.1:0")])];
    let proxy = Proxy::start(&listeners, &clusters);
    assert_eq!(read_all(connect(address)), "hello");
    let lines = eventually("the last line", || {
        let log = proxy.process.log();
        let lines: Vec<_> =
            log.lines().filter(|line| line.starts_with("flags")).map(str::to_owned).collect();
        lines.last()?.starts_with("flags DT").then_some(lines)
    });
    // When it came, when there was an upstream, from time to time, at the end.
    assert_eq!(&lines[..2], ["flags - sent 0", "flags - sent 0"]);
    assert!(lines.iter().any(|line| line == "flags - sent 5"), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "flags DT sent 5");
}

#[test]
fn an_address_in_use_is_named_and_the_proxy_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listeners = [listener("l", address, "", &tcp_proxy("cluster: a"))];
    let mut proxy = Proxy::start(&listeners, &[static_cluster("a", &[local(1)])]);
    assert!(!proxy.process.wait().success());
    let log = proxy.process.log();
    assert!(log.contains(&address.to_string()) && log.contains("address already in use"), "{log}");
}

#[test]
fn the_access_log_tells_what_happened() {
    let upstream = greeter("hello", "127.0.0.1:0");
    let (address, dead) = (local(free_port()), local(free_port()));
    let refused = local(free_port());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let file = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    let format = "%UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT%\\n";
    let log = format!(
        "access_log: [{{name: file, typed_config: {{'@type': {file}, path: '{}', \
         log_format: {{text_format_source: {{inline_string: \"{format}\"}}}}}}}}]",
        path.display()
    );
    let to = |cluster: &str| tcp_proxy(&format!("cluster: {cluster}, {log}"));
    let listeners = [listener("l", address, "", &to("a")), listener("r", refused, "", &to("dead"))];
    let clusters = [static_cluster("a", &[upstream]), static_cluster("dead", &[dead])];
    let _proxy = Proxy::start(&listeners, &clusters);
    assert_eq!(hears(address), "hello");
    assert_eq!(hears(refused), "");
    let written = eventually("two lines", || {
        let text = std::fs::read_to_string(&path).ok()?;
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        (lines.len() == 2).then_some(lines)
    });
    assert_eq!(written, ["a - 0 5", "dead UF,URX 0 0"]);
}

#[test]
fn a_signal_drains() {
    let upstream = greeter("hello", "127.0.0.1:0");
    let address = local(free_port());
    let listeners = [listener("l", address, "", &tcp_proxy("cluster: a"))];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
    command.args(["--drain-time-s", "60"]);
    let clusters = [static_cluster("a", &[upstream])];
    let mut proxy = Proxy::start_by(&mut command, &listeners, &clusters);
    let mut open = connect(address);
    let mut heard = [0; 5];
    open.read_exact(&mut heard).unwrap();
    proxy.process.terminate();
    eventually("no new connection to be taken", || std::net::TcpStream::connect(address).err());
    // What was open goes on until it ends by itself, and then the proxy does.
    open.write_all(b"still").unwrap();
    open.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still");
    assert!(proxy.process.exited().is_none());
    drop(open);
    assert!(proxy.process.wait().success());
}
