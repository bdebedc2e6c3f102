//! What listeners do before a request is read: the PROXY protocol, limits, balance.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use mesh_testkit::{DEADLINE, eventually, eventually_async, free_ports};

use crate::proxy::Proxy;

const PACKAGE: &str = "type.googleapis.com/envoy.extensions.filters";

/// A proxy that tells in a header where a request comes from; `listener` is flow YAML of
/// further fields, `filter` filters before the connection manager, each ended by a comma.
async fn start(flags: &[&str], listener: &str, filter: &str, more: &str) -> (Proxy, SocketAddr) {
    start_at(flags, "", listener, filter, more).await
}

/// [`start`] at an address, flow YAML ended by a comma; empty for one of this machine's.
async fn start_at(
    flags: &[&str],
    address: &str,
    listener: &str,
    filter: &str,
    more: &str,
) -> (Proxy, SocketAddr) {
    let [admin, front] = free_ports();
    let own =
        format!("address: {{ socket_address: {{ address: 127.0.0.1, port_value: {front} }} }},");
    let address = if address.is_empty() { &own } else { address };
    let text = format!(
        r#"
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }} }}
{more}
static_resources:
  listeners:
  - {{ name: front, {listener} {address} filter_chains: [{{ filters: [{filter} {{ name: hcm, typed_config: {{
      "@type": {PACKAGE}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: front, use_remote_address: true,
      access_log: [{{ name: log, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog, log_format: {{ text_format_source: {{ inline_string: "from %DOWNSTREAM_REMOTE_ADDRESS% to %DOWNSTREAM_LOCAL_ADDRESS%\n" }} }} }} }}],
      route_config: {{ virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}] }}] }},
      http_filters: [{{ name: r, typed_config: {{ "@type": {PACKAGE}.http.router.v3.Router }} }}] }} }}] }}] }}
"#
    );
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let proxy = Proxy::start_with(flags, &text, local(admin));
    proxy.wait_until_ready().await;
    (proxy, local(front))
}

fn connect(front: SocketAddr) -> TcpStream {
    let io = TcpStream::connect(front).unwrap();
    io.set_read_timeout(Some(DEADLINE)).unwrap();
    io
}

/// Sends a request behind these bytes, and gives the beginning of the answer: empty when the
/// connection is closed without one.
fn ask(io: &mut (impl Read + Write), before: &[u8]) -> String {
    let request = [before, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
    // One that is closed at once may not take all of it.
    let _ = io.write_all(&request);
    let mut answer = [0; 15];
    match io.read_exact(&mut answer) {
        Ok(()) => String::from_utf8_lossy(&answer).into_owned(),
        Err(_) => String::new(),
    }
}

const OK: &str = "HTTP/1.1 200 OK";

async fn stat_is(proxy: &Proxy, name: &str, value: u64) {
    let expected = format!("{name}: {value}\n");
    eventually_async(&expected, async || {
        (proxy.text(&format!("/stats?filter=^{name}$")).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_says_where_a_connection_comes_from() {
    let filter = format!(
        "{{ name: p, typed_config: {{ '@type': {PACKAGE}.listener.proxy_protocol.v3.ProxyProtocol }} }}"
    );
    let listener = format!("listener_filters: [{filter}],");
    let (proxy, front) = start(&["--concurrency", "1"], &listener, "", "").await;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x05\x05\x06\x07\x08\x04\x57\x08\xae";
    for (header, source) in
        [(&b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n"[..], "1.2.3.4"), (v2, "1.2.3.5")]
    {
        assert_eq!(ask(&mut connect(front), header), OK);
        let line = format!("from {source}:1111 to 5.6.7.8:2222");
        eventually(&line, || proxy.process.log().contains(&line).then_some(()));
    }
    assert_eq!(ask(&mut connect(front), b""), "");
    assert_eq!(ask(&mut connect(front), b"PROXY TCP4 x\r\n"), "");
    stat_is(&proxy, "proxy_proto.versions.v1.found", 1).await;
    stat_is(&proxy, "proxy_proto.versions.v2.found", 1).await;
    stat_is(&proxy, "proxy_proto.versions.v1.error", 1).await;
    stat_is(&proxy, "proxy_proto.not_found_disallowed", 1).await;
    stat_is(&proxy, "downstream_cx_proxy_proto_error", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_takes_as_many_connections_as_it_may() {
    let filter = format!(
        "{{ name: l, typed_config: {{ '@type': {PACKAGE}.network.connection_limit.v3.ConnectionLimit, stat_prefix: few, max_connections: 2 }} }},"
    );
    let (proxy, front) = start(&["--concurrency", "2"], "", &filter, "").await;
    let mut held: Vec<_> = (0..2).map(|_| connect(front)).collect();
    assert!(held.iter_mut().all(|io| ask(io, b"") == OK));
    assert_eq!(ask(&mut connect(front), b""), "");
    stat_is(&proxy, "connection_limit.few.limited_connections", 1).await;
    stat_is(&proxy, "connection_limit.few.active_connections", 2).await;
    held.pop();
    stat_is(&proxy, "connection_limit.few.active_connections", 1).await;
    assert_eq!(ask(&mut connect(front), b""), OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_and_all_of_them_take_as_many_as_they_may() {
    for (key, stat) in [
        ("envoy.resource_limits.listener.front.connection_limit", "downstream_cx_overflow"),
        ("overload.global_downstream_max_connections", "downstream_global_cx_overflow"),
    ] {
        let runtime =
            format!("layered_runtime: {{ layers: [{{ name: l, static_layer: {{ {key}: 2 }} }}] }}");
        let (proxy, front) = start(&["--concurrency", "2"], "", "", &runtime).await;
        let mut held: Vec<_> = (0..2).map(|_| connect(front)).collect();
        assert!(held.iter_mut().all(|io| ask(io, b"") == OK), "{key}");
        assert_eq!(ask(&mut connect(front), b""), "", "{key}");
        let prefix = format!("listener.{}", front.to_string().replace(':', "_"));
        stat_is(&proxy, &format!("{prefix}.{stat}"), 1).await;
        held.pop();
        eventually("a place", || (ask(&mut connect(front), b"") == OK).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_has_several_addresses() {
    let [port] = free_ports();
    let second = SocketAddr::from(([127, 0, 0, 1], port));
    let address =
        format!("address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}");
    let more = format!("additional_addresses: [{{ {address} }}],");
    let (proxy, front) = start(&["--concurrency", "2"], &more, "", "").await;
    for address in [front, second] {
        assert_eq!(ask(&mut connect(address), b""), OK, "{address}");
    }
    // What is counted is the first one's, as in Envoy.
    let name = front.to_string().replace(':', "_");
    stat_is(&proxy, &format!("listener.{name}.downstream_cx_total"), 2).await;
    assert_eq!(proxy.text("/listeners").await, format!("front::{front}\nfront::{second}\n"));
    let listeners = proxy.page("/listeners?format=json").await.json();
    let status = &listeners["listener_statuses"][0];
    assert_eq!(status["local_address"]["socket_address"]["port_value"], front.port());
    let additional = &status["additional_local_addresses"];
    assert_eq!(additional.as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(additional[0]["socket_address"]["port_value"], port);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    // One that an earlier process left behind is replaced.
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("address: {{ pipe: {{ path: '{}', mode: 384 }} }},", path.display());
    let (proxy, front) = start_at(&["--concurrency", "2"], &address, "", "", "").await;
    for _ in 0..4 {
        let mut io = UnixStream::connect(&path).unwrap();
        io.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(ask(&mut io, b""), OK);
    }
    assert!(TcpStream::connect(front).is_err());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(proxy.text("/listeners").await, format!("front::{}\n", path.display()));
    let listeners = proxy.page("/listeners?format=json").await.json();
    let address = &listeners["listener_statuses"][0]["local_address"];
    assert_eq!(address["pipe"]["path"], path.to_str().unwrap());
    stat_is(&proxy, &format!("listener.{}.downstream_cx_total", path.display()), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shared_out_evenly_when_asked() {
    let balance = "connection_balance_config: { exact_balance: {} },";
    let (proxy, front) = start(&["--concurrency", "4"], balance, "", "").await;
    let mut held: Vec<_> = (0..8).map(|_| connect(front)).collect();
    assert!(held.iter_mut().all(|io| ask(io, b"") == OK));
    let prefix = format!("listener.{}", front.to_string().replace(':', "_"));
    for worker in 0..4 {
        stat_is(&proxy, &format!("{prefix}.worker_{worker}.downstream_cx_active"), 2).await;
    }
}
