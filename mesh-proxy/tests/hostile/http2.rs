//! HTTP/2 clients that stall and flood, frame by frame (RFC 9113).

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mesh_testkit::{DEADLINE, eventually};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// GET http://a/, by the static table alone.
const GET_BLOCK: &[u8] = b"\x82\x86\x84\x41\x01a";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection that has introduced itself.
fn begin(address: SocketAddr) -> TcpStream {
    let mut io = connect(address);
    io.write_all(&[PREFACE, SETTINGS].concat()).unwrap();
    io
}

/// A frame that came: kind, stream and payload; `None` at the end.
fn heard(io: &mut TcpStream) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    io.read_exact(&mut head).ok()?;
    let mut payload =
        vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
    io.read_exact(&mut payload).ok()?;
    Some((head[3], u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]), payload))
}

/// Writes the same again and again until the proxy takes no more of it, for as many times at
/// most; how often it did.
fn flood(io: &mut TcpStream, bytes: &[u8], most: usize) -> usize {
    io.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    (0..most).position(|_| io.write_all(bytes).is_err()).unwrap_or(most)
}

/// The connection ends, with a GOAWAY unless that was lost with it.
fn assert_ended(io: &mut TcpStream) {
    let begun = Instant::now();
    loop {
        match heard(io) {
            Some((GOAWAY, _, payload)) => {
                assert_ne!(payload[4..8], [0; 4], "an error is named");
                return;
            }
            Some(_) => {}
            None => break,
        }
    }
    assert!(begun.elapsed() < DEADLINE, "the connection never ended");
}

/// An upstream that counts its connections and answers none of them.
fn silent() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for io in listener.incoming() {
            let mut io = io.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || _ = io.read_to_end(&mut Vec::new()));
        }
    });
    (address, count)
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
    let (_proxy, address) = http("stream_idle_timeout: 3s,", endless);
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

/// CVE-2023-44487: streams that are reset as soon as they are opened cost the client next to
/// nothing and the upstream a request each.
#[test]
fn rapid_reset() {
    const PAIRS: usize = 10_000;
    let (upstream, requests) = silent();
    let (mut proxy, address) = http("", upstream);
    let mut io = begin(address);
    let mut pairs = Vec::new();
    for number in 0..PAIRS {
        let stream = u32::try_from(number).unwrap() * 2 + 1;
        pairs.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET_BLOCK));
        pairs.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    // It may be closed before all is said.
    let _ = io.write_all(&pairs);
    assert_ended(&mut io);
    assert!(requests.load(Ordering::Relaxed) < PAIRS / 10, "{requests:?} of {PAIRS}");
    // Nobody answers there; but the proxy does.
    assert!(proxy.process.exited().is_none());
    drop(connect(address));
}

/// CVE-2024-27316: a head that never ends.
#[test]
fn endless_continuations() {
    let (mut proxy, address) = http("", ok());
    let before = memory(&proxy);
    let mut io = begin(address);
    io.write_all(&frame(HEADERS, END_STREAM, 1, GET_BLOCK)).unwrap();
    // A field of its own, not indexed: "x: xx...".
    let field = [&b"\x00\x01x\x7f\x81\x7d"[..], &[b'x'; 16_000]].concat();
    let taken = flood(&mut io, &frame(CONTINUATION, 0, 1, &field), 10_000);
    assert!(taken < 10_000, "all of it was taken");
    assert_small(&proxy, before);
    assert_well(&mut proxy, address);
}

#[test]
fn more_streams_than_may_be() {
    let (upstream, requests) = silent();
    let (_proxy, address) = http("http2_protocol_options: {max_concurrent_streams: 10},", upstream);
    let mut io = begin(address);
    for number in 0..30 {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, GET_BLOCK);
        io.write_all(&head).unwrap();
    }
    // Those beyond are refused, and may be asked again elsewhere.
    let mut refused = 0;
    while refused < 20 {
        let (kind, _, payload) = heard(&mut io).expect("20 refused streams");
        refused += usize::from(kind == RST_STREAM && payload == [0, 0, 0, 7]);
    }
    eventually("ten requests", || (requests.load(Ordering::Relaxed) == 10).then_some(()));
}

/// A client that makes the proxy answer and reads nothing of it.
#[test]
fn pings_that_are_not_read() {
    let (mut proxy, address) = http("", ok());
    let before = memory(&proxy);
    let mut io = begin(address);
    let pings = frame(PING, 0, 0, b"pingping").repeat(1000);
    let taken = flood(&mut io, &pings, 5000);
    assert!(taken < 5000, "all of it was taken");
    assert_small(&proxy, before);
    assert_well(&mut proxy, address);
}

#[test]
fn settings_that_are_not_read() {
    let (mut proxy, address) = http("", ok());
    let before = memory(&proxy);
    let mut io = begin(address);
    let taken = flood(&mut io, &SETTINGS.repeat(1000), 5000);
    assert!(taken < 5000, "all of it was taken");
    assert_small(&proxy, before);
    assert_well(&mut proxy, address);
}

/// A body that is not taken on is not taken in.
#[test]
fn data_that_nobody_takes() {
    let (upstream, _) = silent();
    let (proxy, address) = http("", upstream);
    let before = memory(&proxy);
    let mut io = begin(address);
    // POST by a literal name: the upstream reads, but the client sends without window.
    let post = b"\x83\x86\x84\x41\x01a";
    io.write_all(&frame(HEADERS, END_HEADERS, 1, post)).unwrap();
    let taken = flood(&mut io, &frame(DATA, 0, 1, &[b'x'; 16_000]), 10_000);
    let ended = heard_error(&mut io);
    assert!(taken < 10_000 || ended, "a client may send without window");
    assert_small(&proxy, before);
}

/// Whether a stream or the connection was ended with an error.
fn heard_error(io: &mut TcpStream) -> bool {
    while let Some((kind, ..)) = heard(io) {
        if matches!(kind, RST_STREAM | GOAWAY) {
            return true;
        }
    }
    true
}

#[test]
fn frames_that_are_none() {
    let (mut proxy, address) = http("", ok());
    for bytes in [
        // On a stream that was never opened.
        frame(DATA, 0, 1, b"x"),
        frame(CONTINUATION, 0, 1, b"x"),
        // Of a size that no frame of the kind has, and one that none may have.
        frame(PING, 0, 0, b"x"),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        [&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1][..], &[0; 100]].concat(),
        // Streams that go backwards.
        [
            frame(HEADERS, END_HEADERS | END_STREAM, 5, GET_BLOCK),
            frame(HEADERS, END_HEADERS | END_STREAM, 3, GET_BLOCK),
        ]
        .concat(),
        // A table index that there is not.
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"),
    ] {
        let mut io = begin(address);
        // It may be closed before all is said.
        let _ = io.write_all(&bytes);
        assert_ended(&mut io);
    }
    assert_well(&mut proxy, address);
}

/// Heads that are frames well enough, but no requests (section 8.1.1): the stream ends, or the
/// connection.
#[test]
fn heads_that_are_no_requests() {
    let (mut proxy, address) = http("", ok());
    let literal = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    for block in [
        // No method, no path, an unknown pseudo header, one behind a field, twice the same.
        b"\x86\x84\x41\x01a".to_vec(),
        b"\x82\x86\x41\x01a".to_vec(),
        [GET_BLOCK, &literal(":foo", "a")].concat(),
        [&b"\x82\x86"[..], &literal("a", "b"), b"\x84\x41\x01a"].concat(),
        [GET_BLOCK, b"\x82"].concat(),
        // Capitals, what belongs to HTTP/1, and what no value may have.
        [GET_BLOCK, &literal("Upper", "a")].concat(),
        [GET_BLOCK, &literal("connection", "close")].concat(),
        [GET_BLOCK, &literal("transfer-encoding", "chunked")].concat(),
        [GET_BLOCK, &literal("te", "gzip")].concat(),
        [GET_BLOCK, &literal("a", "b\r\nc: d")].concat(),
    ] {
        let mut io = begin(address);
        io.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).unwrap();
        let ended = loop {
            match heard(&mut io) {
                Some((RST_STREAM | GOAWAY, ..)) | None => break true,
                // An answer of the proxy's own: 400, which no index has.
                Some((HEADERS, _, payload)) => break payload.first() != Some(&0x88),
                Some(_) => {}
            }
        };
        assert!(ended, "{block:?}");
    }
    assert_well(&mut proxy, address);
}

#[test]
fn silence_after_the_preface() {
    let settings = "common_http_protocol_options: {idle_timeout: 0.2s}, drain_timeout: 0.2s,";
    let (_proxy, address) = http(settings, ok());
    let mut io = begin(address);
    while heard(&mut io).is_some() {}
    let mut rest = [0];
    let end = io.read(&mut rest);
    assert!(!end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it never ended");
}
