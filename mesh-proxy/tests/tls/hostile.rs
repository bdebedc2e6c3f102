//! Clients that mean no good, or are broken: bounded, counted, and nobody else's problem.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use mesh_testkit::{client as http, eventually_async, free_port};

use crate::common::{self, Proxy, connect, read_all, static_cluster, tcp_proxy};
use crate::files::{Files, Pki, chain, listener, with_admin};
use crate::peer::{client, s_client};

/// A TCP proxy that terminates TLS, and gives a handshake some seconds.
struct Bench {
    pki: Pki,
    mine: Files,
    front: SocketAddr,
    admin: SocketAddr,
    _proxy: Proxy,
}

impl Bench {
    fn start() -> Self {
        let pki = Pki::new();
        let (server, mine) = (pki.files("server"), pki.files("client"));
        let local = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (front, admin) = (local(), local());
        let upstream = common::greeter("hello", "127.0.0.1:0");
        let tls = pki.mutual(&server, &["istio"], &[]);
        let tls = format!("transport_socket_connect_timeout: 5s, {tls}");
        let listeners = listener("l", front, "", &[chain("", &tls, &tcp_proxy("cluster: a"))]);
        // No inspectors: the handshake meets the client's first byte.
        let start = listeners.find("listener_filters").unwrap();
        let end = listeners.find("filter_chains").unwrap();
        let listeners = format!("{}{}", &listeners[..start], &listeners[end..]);
        let mut command = with_admin(admin);
        let clusters = [static_cluster("a", &[upstream])];
        let proxy = Proxy::start_by(&mut command, &[listeners], &clusters);
        Self { pki, mine, front, admin, _proxy: proxy }
    }

    fn serves(&self) {
        let mut stream = client(&self.pki, Some(&self.mine), &["istio"], self.front);
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }

    async fn counts(&self, name: &str, expected: u64) {
        eventually_async(&format!("{name}: {expected}"), async || {
            let path = format!("/stats?filter={name}");
            let text = http::get(self.admin, "admin", &path).await.ok()?.text();
            let value = text.trim().rsplit(": ").next()?.parse::<u64>().ok()?;
            (value == expected).then_some(())
        })
        .await;
    }
}

/// The head of a record, and of a ClientHello in it, that promise so much.
fn hello(record: u16, message: u32) -> Vec<u8> {
    let [high, low] = record.to_be_bytes();
    let [_, a, b, c] = message.to_be_bytes();
    vec![22, 3, 1, high, low, 1, a, b, c]
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_huge_hellos_are_refused() {
    let bench = Bench::start();
    bench.serves();
    let mut huge = hello(0x4000, 0xff_ffff);
    huge.resize(5 + 0x4000, 0);
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 4096],
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        &huge,
    ];
    for bytes in garbage {
        let mut io = connect(bench.front);
        // It may be closed while this is still being written.
        let _ = io.write_all(bytes);
        read_all(io);
    }
    bench.counts("ssl.connection_error", garbage.len() as u64).await;
    bench.serves();
}

#[tokio::test(flavor = "multi_thread")]
async fn stalls_end_in_time_and_hold_up_nobody() {
    const STALLS: usize = 64;
    let bench = Bench::start();
    bench.serves();
    let stalls: Vec<_> = (0..STALLS)
        .map(|index| {
            let mut io = connect(bench.front);
            let whole = hello(512, 508);
            io.write_all(&whole[..index % (whole.len() + 1)]).unwrap();
            io
        })
        .collect();
    bench.serves();
    for io in stalls {
        read_all(io);
    }
    bench.counts("downstream_cx_transport_socket_connect_timeout", STALLS as u64).await;
    bench.counts("listener.*downstream_cx_active", 0).await;
    bench.serves();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_negotiates_anew() {
    let bench = Bench::start();
    bench.serves();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (cert, key) = (path(&bench.mine.cert), path(&bench.mine.key));
    let args = ["-tls1_2", "-cert", &cert, "-key", &key, "-ign_eof"];
    let Some(said) = s_client(bench.front, &args[..5], "R\n") else { return };
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no_renegotiation") || said.contains("no renegotiation"), "{said}");
    bench.serves();
}
