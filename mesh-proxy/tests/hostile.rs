//! Clients that stall, stop halfway or talk nonsense: each connection comes to an end, and
//! the proxy goes on.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use common::{Proxy, connect, listener, read_all, static_cluster};
use mesh_testkit::{eventually, free_port};

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

/// Ticks of processor time that the proxy has used.
fn cpu_ticks(proxy: &Proxy) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.process.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn half_a_preface_and_then_nothing() {
    let (proxy, address) = http("", ok());
    let before = cpu_ticks(&proxy);
    let mut io = connect(address);
    io.write_all(b"PRI * HT").unwrap();
    io.shutdown(Shutdown::Write).unwrap();
    // What can never become a preface is HTTP/1, and a bad request there.
    read_all(io);
    // And no loop was left behind.
    for _ in 0..20 {
        assert!(get(address).ends_with("ok"));
    }
    assert!(cpu_ticks(&proxy) - before < 100, "{} ticks", cpu_ticks(&proxy) - before);
}

#[test]
fn half_a_request_head_and_then_nothing() {
    let settings = "common_http_protocol_options: {idle_timeout: 0.2s}, stream_idle_timeout: 0.2s,";
    let (_proxy, address) = http(settings, ok());
    for said in ["", "PRI * HT", "GET / HTTP/1.1\r\nho"] {
        let mut io = connect(address);
        io.write_all(said.as_bytes()).unwrap();
        let heard = read_all(io);
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408"), "{said:?}: {heard}");
    }
}

#[test]
fn half_a_request_body_and_then_nothing() {
    let held = upstream("", |mut io| _ = io.read_to_end(&mut Vec::new()));
    let (_proxy, address) = http("stream_idle_timeout: 0.2s,", held);
    let mut io = connect(address);
    io.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").unwrap();
    let heard = read_all(io);
    assert!(heard.starts_with("HTTP/1.1 408") || heard.starts_with("HTTP/1.1 504"), "{heard}");
}

#[test]
fn a_tunnel_in_which_nothing_is_said() {
    const SWITCHED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let silent = upstream(SWITCHED, |mut io| _ = io.read_to_end(&mut Vec::new()));
    let (_proxy, address) = http("stream_idle_timeout: 0.2s,", silent);
    let mut io = connect(address);
    io.write_all(
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n",
    )
    .unwrap();
    let heard = read_all(io);
    assert!(heard.starts_with("HTTP/1.1 101"), "{heard}");
}

#[test]
fn a_client_that_does_not_read_its_response() {
    const ENDLESS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    // Sends for as long as it can, and says so when it cannot any more.
    static ENDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let endless = upstream(ENDLESS, |mut io| {
        while io.write_all(&[b'x'; 65536]).is_ok() {}
        ENDED.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let (_proxy, address) = http("stream_idle_timeout: 0.2s,", endless);
    let mut io = connect(address);
    io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    eventually("the upstream's end", || {
        ENDED.load(std::sync::atomic::Ordering::Relaxed).then_some(())
    });
    drop(io);
}

#[test]
fn an_http2_client_that_gives_no_window() {
    const ENDLESS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    const NO_WINDOW: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    const GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";
    const RST_STREAM: u8 = 3;
    static ENDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let endless = upstream(ENDLESS, |mut io| {
        while io.write_all(&[b'x'; 65536]).is_ok() {}
        ENDED.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let (_proxy, address) = http("stream_idle_timeout: 0.2s,", endless);
    let mut io = connect(address);
    io.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_WINDOW, GET].concat()).unwrap();
    // The stream is reset, and the connection goes on.
    let mut head = [0; 9];
    while head[3] != RST_STREAM {
        io.read_exact(&mut head).unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        io.read_exact(&mut vec![0; length]).unwrap();
    }
    eventually("the upstream's end", || {
        ENDED.load(std::sync::atomic::Ordering::Relaxed).then_some(())
    });
}

#[test]
fn nonsense() {
    const BAD: &str = "HTTP/1.1 400 ";
    const NOT_FOUND: &str = "HTTP/1.1 404 ";
    // The proxy's settings come first.
    const GOAWAY: &str = "\0\0\x18\x04\0";
    let (mut proxy, address) = http("", ok());
    for (said, expected) in [
        (&b"\0\0\0\0\0\0\0\0\0\0\0\0"[..], BAD),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
        (b"GET / HTTP/9.9\r\n\r\n", BAD),
        (b"GET /\xff\xfe HTTP/1.1\r\nhost: \xff\r\n\r\n", BAD),
        (b"GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n", NOT_FOUND),
        (b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", NOT_FOUND),
        (b"GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", BAD),
        (b"GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: a\r\nconnection: close\r\n\r\n", BAD),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", BAD),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", BAD),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", BAD),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense", GOAWAY),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x01\x01\x05\0\0\0\x01\xff", GOAWAY),
    ] {
        let mut io = connect(address);
        // It may be closed before all is said.
        let _ = io.write_all(said);
        let heard = read_all(io);
        let said = String::from_utf8_lossy(said);
        assert!(heard.starts_with(expected), "{said:?}: {heard:?}");
        if expected == GOAWAY {
            // A GOAWAY frame of 8 bytes on stream 0, after which the connection is closed.
            assert!(heard.contains("\0\0\x08\x07\0\0\0\0\0"), "{said:?}: {heard:?}");
        }
    }
    let mut long = b"GET / HTTP/1.1\r\nhost: a\r\nx: ".to_vec();
    long.resize(1024 * 1024, b'x');
    let mut io = connect(address);
    let _ = io.write_all(&long);
    let heard = read_all(io);
    // It is closed before all is said, and what it answered may be lost.
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 431 "), "{heard}");
    assert!(get(address).ends_with("ok"));
    assert!(proxy.process.exited().is_none());
    assert!(!proxy.process.log().contains("panicked"), "{}", proxy.process.log());
}

#[test]
fn a_chunk_that_is_none_is_the_clients_fault() {
    let held = upstream("", |mut io| _ = io.read_to_end(&mut Vec::new()));
    let (_proxy, address) = http("", held);
    let mut io = connect(address);
    io.write_all(
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    )
    .unwrap();
    let heard = read_all(io);
    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
}

/// Gives back each request, which must end with an empty chunk.
fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for io in listener.incoming() {
            let mut io = io.unwrap();
            let mut heard = Vec::new();
            let mut byte = [0];
            while !heard.ends_with(b"0\r\n\r\n") && io.read(&mut byte).is_ok_and(|n| n > 0) {
                heard.push(byte[0]);
            }
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            let _ = io.write_all(&[head.as_bytes(), &heard].concat());
        }
    });
    address
}

/// RFC 9112, section 6.1: chunks count, the length goes, and so does the connection.
#[test]
fn a_length_beside_chunks_smuggles_nothing() {
    let (_proxy, address) = http("", parrot());
    let mut io = connect(address);
    io.write_all(
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
          0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .unwrap();
    let heard = read_all(io);
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    assert_eq!(heard.matches("HTTP/1.1 200 ").count(), 1, "{heard}");
    assert!(heard.contains("transfer-encoding: chunked\r\n"), "{heard}");
    assert!(!heard.contains("content-length: 5") && !heard.contains("smuggled"), "{heard}");
}
