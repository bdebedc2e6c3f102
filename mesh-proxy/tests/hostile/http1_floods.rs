//! HTTP/1 clients that send without end, or ask without reading.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::*;

/// Sends `begin` and then `more` for ever; what was heard, and how many bytes were taken.
fn endless(address: SocketAddr, begin: &[u8], more: &[u8]) -> (String, usize) {
    const MOST: usize = 64 * 1024 * 1024;
    let mut io = connect(address);
    io.set_write_timeout(Some(mesh_testkit::DEADLINE)).unwrap();
    io.write_all(begin).unwrap();
    let mut taken = begin.len();
    while taken < MOST && io.write_all(more).is_ok() {
        taken += more.len();
    }
    assert!(taken < MOST, "all of it was taken");
    (read_all(io), taken)
}

/// Each is answered 400 or 431, if the answer is not lost with the connection.
#[test]
fn what_never_ends_is_cut() {
    const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let held = upstream("", |mut io| _ = io.read_to_end(&mut Vec::new()));
    let (mut proxy, address) = http("", held);
    let before = memory(&proxy);
    let lines = [b'x'; 1000];
    for (begin, more) in [
        // A method, a path, a name, a value, fields.
        (&b""[..], &lines[..]),
        (b"GET /", &lines),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", &lines),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: ", &lines),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", b"x: y\r\n"),
        // The extension of a chunk, and trailers.
        (&[CHUNKED, b"1;"].concat(), &lines),
        (&[CHUNKED, b"0\r\n"].concat(), b"x: y\r\n"),
    ] {
        let (heard, taken) = endless(address, begin, more);
        let begin = String::from_utf8_lossy(begin);
        let is_refused = heard.starts_with("HTTP/1.1 431") || heard.starts_with("HTTP/1.1 400");
        assert!(heard.is_empty() || is_refused, "{begin:?} after {taken}: {heard}");
    }
    assert_small(&proxy, before);
    assert!(proxy.process.exited().is_none());
}

/// Pipelined requests wait in the socket while their answers are not read.
#[test]
fn answers_that_are_not_read() {
    let (mut proxy, address) = http("", ok());
    let before = memory(&proxy);
    let mut io = connect(address);
    io.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let many = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let mut taken = 0;
    while taken < 10_000 && io.write_all(&many).is_ok() {
        taken += 1;
    }
    assert!(taken < 10_000, "all of it was taken");
    assert_small(&proxy, before);
    assert_well(&mut proxy, address);
}

/// A head that comes byte by byte has only as long as one that comes at once.
#[test]
fn a_head_that_drips() {
    let (_proxy, address) = http("request_headers_timeout: 0.3s,", ok());
    let mut io = connect(address);
    let head = b"GET / HTTP/1.1\r\nhost: a\r\nx: ".iter().chain(std::iter::repeat(&b'y'));
    for byte in head {
        if io.write_all(&[*byte]).is_err() {
            break;
        }
        // As long as nothing is heard.
        io.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut one = [0];
        if io.peek(&mut one).is_ok() {
            break;
        }
    }
    io.set_read_timeout(Some(mesh_testkit::DEADLINE)).unwrap();
    let heard = read_all(io);
    assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
}

/// Bytes by chance, the same in every run.
#[test]
fn noise() {
    let (mut proxy, address) = http("", ok());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let request =
        b"POST /a?b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for round in 0..300 {
        let mut bytes = request.to_vec();
        if round % 3 == 0 {
            bytes = (0..random() % 200).map(|_| random().to_le_bytes()[0]).collect();
        }
        for _ in 0..1 + random() % 4 {
            let length = bytes.len().max(1) as u64;
            let place = usize::try_from(random() % length).unwrap();
            if let Some(byte) = bytes.get_mut(place) {
                *byte = random().to_le_bytes()[0];
            }
        }
        let mut io = connect(address);
        let _ = io.write_all(&bytes);
        let _ = io.shutdown(std::net::Shutdown::Write);
        let heard = read_all(io);
        assert!(
            heard.is_empty() || heard.starts_with("HTTP/1.1 ") || heard.starts_with("\0\0"),
            "{heard:?}"
        );
    }
    assert_well(&mut proxy, address);
}
