//! TCP inside TLS: bytes both ways, and each direction's end by itself.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use mesh_testkit::free_port;

use crate::common::{self, Proxy, static_cluster, tcp_proxy};
use crate::files::{Pki, access_log, chain, listener};
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
