//! The listener filter `http_inspector`: looks at the first bytes without taking them.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

/// An HTTP/2 connection begins with this (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request line that is longer is not looked at to its end.
const PEEK: usize = 8192;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Envoy's name of the application protocol.
    Http(&'static str),
    Other,
    NeedMore,
}

/// The application protocol by Envoy's names: "http/1.0", "http/1.1" or "h2c"; `None` for
/// anything else. Waits until the first bytes can be told apart: a client that waits to be
/// spoken to first keeps it waiting, so that the caller sets a deadline. Cancel-safe.
pub(super) async fn inspect(io: &TcpStream) -> io::Result<Option<&'static str>> {
    loop {
        let ready = io.ready(Interest::READABLE).await?;
        match peek(io).await? {
            Verdict::Http(protocol) => return Ok(Some(protocol)),
            Verdict::Other => return Ok(None),
            Verdict::NeedMore if ready.is_read_closed() => return Ok(None),
            Verdict::NeedMore => wait_for_more(io),
        }
    }
}

async fn peek(io: &TcpStream) -> io::Result<Verdict> {
    // On the heap, so that a connection does not carry it to its end.
    let mut bytes = vec![0; PEEK];
    let count = io.peek(&mut bytes).await?;
    Ok(if count == 0 { Verdict::Other } else { verdict(&bytes[..count]) })
}

/// Bytes that are only looked at leave the socket readable: saying that it would block
/// makes the next wait one for new bytes.
fn wait_for_more(io: &TcpStream) {
    let _ = io
        .try_io(Interest::READABLE, || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) });
}

fn verdict(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(PREFACE) {
        return Verdict::Http("h2c");
    }
    if PREFACE.starts_with(bytes) {
        return Verdict::NeedMore;
    }
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-');
    let method = method.count();
    match bytes.get(method) {
        // The longest registered method has 17 letters.
        None if method <= 17 => return Verdict::NeedMore,
        Some(b' ') if (3..=17).contains(&method) => {}
        _ => return Verdict::Other,
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < PEEK { Verdict::NeedMore } else { Verdict::Other };
    };
    match bytes[..end].trim_ascii_end() {
        line if line.ends_with(b" HTTP/1.1") => Verdict::Http("http/1.1"),
        line if line.ends_with(b" HTTP/1.0") => Verdict::Http("http/1.0"),
        _ => Verdict::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[test]
    fn tells_http_from_the_rest() {
        for (bytes, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", Verdict::Http("http/1.1")),
            ("M-SEARCH * HTTP/1.0\n", Verdict::Http("http/1.0")),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Verdict::Http("h2c")),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n", Verdict::NeedMore),
            ("G", Verdict::NeedMore),
            ("GET /somewhere", Verdict::NeedMore),
            ("GET /\r\n", Verdict::Other),
            ("get / HTTP/1.1\r\n", Verdict::Other),
            ("\x16\x03\x01\x02\0", Verdict::Other),
            ("SSH-2.0-OpenSSH\r\n", Verdict::Other),
            ("ABCDEFGHIJKLMNOPQRSTUVW", Verdict::Other),
        ] {
            assert_eq!(verdict(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn waits_for_bytes_that_come_one_by_one_and_takes_none() {
        let (mut client, server) = pair().await;
        let writer = async {
            for byte in b"GET / HTTP/1.1\r\n" {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (found, ()) = tokio::join!(inspect(&server), writer);
        assert_eq!(found.unwrap(), Some("http/1.1"));
        let mut bytes = [0; 64];
        assert_eq!(server.peek(&mut bytes).await.unwrap(), 16);
    }

    #[tokio::test]
    async fn a_client_that_stops_halfway_is_not_http() {
        let (mut client, server) = pair().await;
        client.write_all(b"GET /").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(inspect(&server).await.unwrap(), None);
    }
}
