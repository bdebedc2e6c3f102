//! HTTP/1 clients that stall, stop halfway or talk nonsense.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use mesh_testkit::eventually;

use super::*;

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
    let (_proxy, address) = http("stream_idle_timeout: 3s,", silent);
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
    let (_proxy, address) = http("stream_idle_timeout: 2s,", endless);
    let mut io = connect(address);
    io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    eventually("the upstream's end", || {
        ENDED.load(std::sync::atomic::Ordering::Relaxed).then_some(())
    });
    drop(io);
}

#[test]
fn nonsense() {
    const BAD: &str = "HTTP/1.1 400 ";
    const NOT_FOUND: &str = "HTTP/1.1 404 ";
    // The proxy's settings come first.
    const GOAWAY: &str = "\0\0\x12\x04\0";
    let (mut proxy, address) = http("", ok());
    for (said, expected) in [
        (&b"\0\0\0\0\0\0\0\0\0\0\0\0"[..], BAD),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
        (b"GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 426 "),
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
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "HTTP/1.1 501 "),
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
    assert_well(&mut proxy, address);
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

/// RFC 9112, section 6.1: who sends both does not get through.
#[test]
fn a_length_beside_chunks_smuggles_nothing() {
    let (_proxy, address) = http("", ok());
    let mut io = connect(address);
    io.write_all(
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
          0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .unwrap();
    let heard = read_all(io);
    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
}
