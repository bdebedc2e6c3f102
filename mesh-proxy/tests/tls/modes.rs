//! PERMISSIVE and STRICT, in the shape that a sidecar gets them.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use mesh_testkit::{eventually, free_port};

use crate::common::{self, Proxy, connect, read_all, static_cluster, tcp_proxy};
use crate::files::{Pki, chain, listener};
use crate::peer::{Client, client, greeter};

/// What the mesh's own TLS offers.
const MESH: &str = "transport_protocol: tls, application_protocols: [istio, istio-peer-exchange, \
                    istio-http/1.0, istio-http/1.1, istio-h2]";

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

fn greeting(stream: &mut Client, length: usize) -> std::io::Result<String> {
    stream.flush()?;
    let mut heard = vec![0; length];
    stream.read_exact(&mut heard)?;
    Ok(String::from_utf8(heard).unwrap())
}

#[test]
fn permissive_takes_the_meshs_tls_plain_text_and_the_applications_own_tls() {
    let pki = Pki::new();
    let (server, caller) = (pki.files("server"), pki.files("client"));
    // The application's TLS is not the mesh's.
    let application = Pki::new();
    let its_own = application.files("application");
    let plain = common::greeter("plain", "127.0.0.1:0");
    let tls = greeter(&application, &its_own, "its own");
    let front = local();
    let mutual = pki.mutual(&server, &["istio-peer-exchange", "istio"], &[]);
    let to_plain = tcp_proxy("cluster: plain");
    let chains = [
        chain(MESH, &mutual, &to_plain),
        chain("transport_protocol: raw_buffer", "", &to_plain),
        chain("transport_protocol: tls", "", &tcp_proxy("cluster: tls")),
    ];
    let listeners = listener(
        "l",
        front,
        "listener_filters_timeout: 5s, continue_on_listener_filters_timeout: true,",
        &chains,
    );
    let clusters = [static_cluster("plain", &[plain]), static_cluster("tls", &[tls])];
    let _proxy = Proxy::start(&[listeners], &clusters);

    // A server that speaks first is waited for, and then taken for plain text.
    let mut io = connect(front);
    let mut heard = [0; 5];
    io.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"plain");
    let mut mesh = client(&pki, Some(&caller), &["istio"], front);
    assert_eq!(greeting(&mut mesh, 5).unwrap(), "plain");
    assert_eq!(mesh.conn.alpn_protocol(), Some(&b"istio"[..]));
    for alpn in [&[][..], &["h2", "http/1.1"]] {
        let its_caller = application.files("caller");
        let mut own = client(&application, Some(&its_caller), alpn, front);
        assert_eq!(greeting(&mut own, 7).unwrap(), "its own");
    }
    // With the mesh's ALPN it must be one of the mesh.
    let mut stranger = client(&pki, Some(&its_own), &["istio"], front);
    assert!(greeting(&mut stranger, 1).is_err());
}

#[test]
fn strict_refuses_plain_text() {
    let pki = Pki::new();
    let (server, caller) = (pki.files("server"), pki.files("client"));
    let plain = common::greeter("plain", "127.0.0.1:0");
    let front = local();
    let mutual = pki.mutual(&server, &["istio"], &[]);
    let listeners = listener("l", front, "", &[chain("", &mutual, &tcp_proxy("cluster: plain"))]);
    let _proxy = Proxy::start(&[listeners], &[static_cluster("plain", &[plain])]);
    let mut io = connect(front);
    io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let heard = read_all(io);
    assert!(!heard.contains("plain") && !heard.contains("HTTP"), "{heard:?}");
    let mut mesh = eventually("mutual TLS", || {
        let mut mesh = client(&pki, Some(&caller), &["istio"], front);
        (greeting(&mut mesh, 5).ok()? == "plain").then_some(mesh)
    });
    mesh.write_all(b"more").unwrap();
    assert_eq!(greeting(&mut mesh, 4).unwrap(), "more");
}
