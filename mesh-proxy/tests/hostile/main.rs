//! Clients that stall, stop halfway, flood or talk nonsense: each connection comes to an end,
//! costs a bounded amount, and the proxy goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

#[path = "../common/mod.rs"]
mod common;

mod http1;
mod http1_floods;
mod http2;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use common::{Proxy, connect, listener, read_all, static_cluster};
use mesh_testkit::free_port;

/// A proxy with an HTTP listener on a free port, everything to one cluster; `settings` are
/// fields of the connection manager, flow YAML, each ended by a comma.
fn http(settings: &str, upstream: SocketAddr) -> (Proxy, SocketAddr) {
    let filters = "type.googleapis.com/envoy.extensions.filters";
    let filter = format!(
        "{{name: http, typed_config: {{'@type': {filters}.network.http_connection_manager.v3.HttpConnectionManager, \
         stat_prefix: http, {settings} upgrade_configs: [{{upgrade_type: websocket}}], \
         http_filters: [{{name: router, typed_config: {{'@type': {filters}.http.router.v3.Router}}}}], \
         route_config: {{virtual_hosts: [{{name: all, domains: ['*'], \
         routes: [{{match: {{prefix: /}}, route: {{cluster: a, timeout: 0s}}}}]}}]}}}}}}"
    );
    let address = ([127, 0, 0, 1], free_port()).into();
    let listeners = [listener("l", address, "", &filter)];
    let proxy = Proxy::start(&listeners, &[static_cluster("a", &[upstream])]);
    drop(connect(address));
    (proxy, address)
}

/// Reads a request's head, answers with `answer`, and gives the connection to `then`.
fn upstream(answer: &'static str, then: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for io in listener.incoming() {
            let mut io = io.unwrap();
            thread::spawn(move || {
                let mut reader = BufReader::new(io.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    line.clear();
                }
                if io.write_all(answer.as_bytes()).is_ok() {
                    then(io);
                }
            });
        }
    });
    address
}

fn ok() -> SocketAddr {
    upstream("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", drop)
}

fn get(address: SocketAddr) -> String {
    let mut io = connect(address);
    io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    read_all(io)
}

/// The private memory of a proxy, in kB. The pages of its code come and go.
fn memory(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What was done to the proxy has not cost 30 MB. It may have less memory than `before`, when
/// it has given back what its start needed.
fn assert_small(proxy: &Proxy, before: u64) {
    let more = memory(proxy).saturating_sub(before);
    assert!(more < 30_000, "{more} KB more");
}

/// The proxy lives, serves, and has said nothing of a panic.
fn assert_well(proxy: &mut Proxy, address: SocketAddr) {
    assert!(get(address).ends_with("ok"));
    assert!(proxy.process.exited().is_none());
    assert!(!proxy.process.log().contains("panicked"), "{}", proxy.process.log());
}
