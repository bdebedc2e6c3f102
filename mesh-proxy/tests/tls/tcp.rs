//! TCP inside TLS: bytes both ways, and each direction's end by itself.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use mesh_testkit::free_port;

use crate::common::{self, Proxy, static_cluster, tcp_proxy};
use crate::files::{Pki, access_log, chain, listener, with_admin};
use crate::peer::{client, greeter};

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

#[test]
fn a_connection_through_tls_on_both_sides_closes_by_halves() {
    let pki = Pki::new();
    let (mine, theirs) = (pki.files("client"), pki.files("server"));
    let upstream = greeter(&pki, &theirs, "hello ");
    let front = local();
    let inner = pki.mutual(&theirs, &[], &["client"]);
    let outer = pki.upstream(&mine, &[], &["server"]);
    let cluster = static_cluster("tls", &[upstream]) + &format!("    {outer}\n");
    let listeners = listener("l", front, "", &[chain("", &inner, &tcp_proxy("cluster: tls"))]);
    let _proxy = Proxy::start(&[listeners], &[cluster]);
    let mut stream = client(&pki, Some(&mine), &[], front);
    let big = vec![b'x'; 300_000];
    let mut heard = Vec::new();
    stream.write_all(b"small ").unwrap();
    stream.flush().unwrap();
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello small ");
    stream.write_all(&big).unwrap();
    // Our direction ends; the echo of what is under way still comes.
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), big.len());
}

#[test]
fn a_failed_handshake_is_logged_with_its_reason() {
    let pki = Pki::new();
    let own = pki.files("server");
    let front = local();
    let log = pki.path("access.log");
    let format = "%DOWNSTREAM_TRANSPORT_FAILURE_REASON% %REQUESTED_SERVER_NAME%";
    let logs = access_log(&log, format);
    let inner = pki.mutual(&own, &[], &["client"]);
    let upstream = common::greeter("a", "127.0.0.1:0");
    let tcp = tcp_proxy(&format!("cluster: a, {logs}"));
    let listeners = listener("l", front, "", &[chain("", &inner, &tcp)]);
    let _proxy = Proxy::start(&[listeners], &[static_cluster("a", &[upstream])]);
    let mut stream = client(&pki, None, &[], front);
    let refused = stream.write_all(b"x").and_then(|()| stream.read(&mut [0; 1]));
    assert!(refused.is_err(), "{refused:?}");
    let line = mesh_testkit::eventually("a line of log", || {
        let log = std::fs::read_to_string(&log).ok()?;
        log.ends_with('\n').then_some(log)
    });
    let reason = "PEER_DID_NOT_RETURN_A_CERTIFICATE:TLS_error_end localhost\n";
    assert!(line.ends_with(reason), "{line}");
}

#[test]
fn each_endpoint_gets_the_transport_socket_that_its_metadata_asks_for() {
    let pki = Pki::new();
    let (mine, theirs) = (pki.files("client"), pki.files("server"));
    let by_tls = greeter(&pki, &theirs, "in TLS");
    let plain = common::greeter("plain!", "127.0.0.1:0");
    let front = local();
    let tls = pki.upstream(&mine, &[], &["server"]);
    let raw = "transport_socket: {name: envoy.transport_sockets.raw_buffer}";
    let endpoint = |address: SocketAddr, metadata: &str| {
        format!(
            "{{{metadata} endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}",
            address.port()
        )
    };
    let label = "metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: istio}}},";
    let endpoints = [endpoint(by_tls, label), endpoint(plain, "")].join(", ");
    let cluster = format!(
        "  - {{name: a, load_assignment: {{cluster_name: a, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}, \
         transport_socket_matches: [{{name: tlsMode-istio, match: {{tlsMode: istio}}, {tls}}}, \
         {{name: tlsMode-disabled, match: {{}}, {raw}}}]}}\n"
    );
    let listeners = common::listener("l", front, "", &tcp_proxy("cluster: a"));
    let _proxy = Proxy::start(&[listeners], &[cluster]);
    let mut heard: Vec<String> = (0..2)
        .map(|_| {
            let mut said = [0; 6];
            common::connect(front).read_exact(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        })
        .collect();
    heard.sort();
    assert_eq!(heard, ["in TLS", "plain!"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_an_upstream_are_resumed_and_counted() {
    let pki = Pki::new();
    let (mine, theirs) = (pki.files("client"), pki.files("server"));
    let upstream = greeter(&pki, &theirs, "hello ");
    let (front, admin) = (local(), local());
    let outer = pki.upstream(&mine, &[], &["server"]);
    let cluster = static_cluster("tls", &[upstream]) + &format!("    {outer}\n");
    let listeners = common::listener("l", front, "", &tcp_proxy("cluster: tls"));
    let _proxy = Proxy::start_by(&mut with_admin(admin), &[listeners], &[cluster]);
    for _ in 0..3 {
        common::connect(front).read_exact(&mut [0; 6]).unwrap();
    }
    let stats = mesh_testkit::client::get(admin, "admin", "/stats?filter=cluster.tls.ssl");
    let stats = stats.await.unwrap().text();
    for expected in [
        "cluster.tls.ssl.handshake: 3",
        "cluster.tls.ssl.session_reused: 2",
        "cluster.tls.ssl.versions.TLSv1.3: 3",
        "cluster.tls.ssl.ciphers.TLS_AES_128_GCM_SHA256: 3",
    ] {
        assert!(stats.lines().any(|line| line == expected), "{expected} in {stats}");
    }
}
