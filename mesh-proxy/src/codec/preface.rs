//! HTTP/1 or HTTP/2, told by the first bytes.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Protocol;
use crate::transport::Io;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for the first bytes and tells the protocol without taking them. Cancel-safe.
pub(crate) async fn detect(io: &mut Io) -> io::Result<Protocol> {
    match io {
        Io::Plain(io) => detect_plain(io).await,
        Io::Tls(tls) => {
            let mut known = 0;
            loop {
                let bytes = tls.look(PREFACE.len()).await?;
                if let Some(protocol) = tell(bytes) {
                    return Ok(protocol);
                }
                if bytes.len() == known {
                    // The rest will not come.
                    return Ok(Protocol::Http1);
                }
                known = bytes.len();
            }
        }
    }
}

/// `None`: more is needed.
fn tell(bytes: &[u8]) -> Option<Protocol> {
    match bytes {
        bytes if bytes.starts_with(PREFACE) => Some(Protocol::Http2),
        bytes if bytes.is_empty() || !PREFACE.starts_with(bytes) => Some(Protocol::Http1),
        _ => None,
    }
}

/// The first bytes of a connection.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = tell(bytes);
}

async fn detect_plain(io: &TcpStream) -> io::Result<Protocol> {
    loop {
        let ready = io.ready(Interest::READABLE).await?;
        let mut bytes = [0; PREFACE.len()];
        let count = io.peek(&mut bytes).await?;
        if let Some(protocol) = tell(&bytes[..count]) {
            return Ok(protocol);
        }
        if ready.is_read_closed() {
            // The rest will not come.
            return Ok(Protocol::Http1);
        }
        // Part of the preface. What was only looked at leaves the socket readable: saying
        // that it would block makes the next look wait for new bytes.
        let _ = io.try_io(Interest::READABLE, || -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn detected(parts: &[&[u8]]) -> Protocol {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let detection = tokio::spawn(async move { detect_plain(&server).await.unwrap() });
        for part in parts {
            client.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        detection.await.unwrap()
    }

    #[tokio::test]
    async fn tells_the_protocols_apart() {
        assert_eq!(detected(&[b"GET / HTTP/1.1\r\n"]).await, Protocol::Http1);
        assert_eq!(detected(&[b"PRI", b" * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await, Protocol::Http2);
        assert_eq!(detected(&[b"PRI", b" / HTTP/1.1\r\n\r\n"]).await, Protocol::Http1);
        assert_eq!(detected(&[b"PRI", b" * HT"]).await, Protocol::Http1);
    }
}
