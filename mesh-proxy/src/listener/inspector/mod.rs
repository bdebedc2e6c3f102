//! The listener filters that look at a connection's first bytes without taking them.

mod client_hello;
mod http;
mod stats;

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

use client_hello::ClientHello;
pub(super) use stats::TlsInspectorStats;

/// What a look at the bytes so far gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    Done(T),
    NeedMore,
}

/// What the inspectors found out about a connection.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// It begins with a ClientHello; else it is Envoy's "raw_buffer".
    pub(super) is_tls: bool,
    /// As the ClientHello says (SNI), in lower case.
    pub(super) server_name: Option<Box<str>>,
    /// ALPN as the client offers it; of a connection without TLS "http/1.0", "http/1.1" or
    /// "h2c".
    pub(super) application_protocols: Vec<Box<str>>,
}

/// Which inspectors are there.
#[derive(Clone, Copy)]
pub(super) struct Inspectors<'a> {
    pub(super) tls: Option<&'a TlsInspectorStats>,
    pub(super) http: bool,
}

impl Inspectors<'_> {
    pub(super) fn is_none(&self) -> bool {
        self.tls.is_none() && !self.http
    }

    /// Waits until the first bytes can be told apart: a client that waits to be spoken to
    /// first keeps it waiting, so that the caller sets a deadline. Cancel-safe.
    ///
    /// # Errors
    /// The connection failed, or its ClientHello is longer than 16 KiB.
    pub(super) async fn inspect(self, io: &TcpStream, findings: &mut Findings) -> io::Result<()> {
        if let Some(stats) = self.tls {
            let found = look(io, client_hello::PEEK, client_hello::inspect).await?;
            if found == Some(Verdict::NeedMore) {
                stats.client_hello_too_big.inc();
                return Err(io::Error::other("its ClientHello is too long"));
            }
            let hello = found.and_then(Verdict::done).flatten();
            stats.count(hello.as_ref());
            if let Some(ClientHello { server_name, alpn }) = hello {
                *findings = Findings { is_tls: true, server_name, application_protocols: alpn };
                return Ok(());
            }
        }
        if self.http {
            let found = look(io, http::PEEK, http::inspect).await?;
            let protocol = found.and_then(Verdict::done).flatten();
            findings.application_protocols.extend(protocol.map(Box::from));
        }
        Ok(())
    }
}

impl<T> Verdict<T> {
    fn done(self) -> Option<T> {
        match self {
            Self::Done(found) => Some(found),
            Self::NeedMore => None,
        }
    }
}

/// Looks at up to `max` bytes until `inspect` is done with them: it needs more than that
/// when it still says so. `None` when the client has closed its direction before.
pub(super) async fn look<T>(
    io: &TcpStream,
    max: usize,
    inspect: impl Fn(&[u8]) -> Verdict<T>,
) -> io::Result<Option<Verdict<T>>> {
    loop {
        let ready = io.ready(Interest::READABLE).await?;
        let (verdict, count) = peek(io, max, &inspect).await?;
        match verdict {
            Verdict::Done(_) => return Ok(Some(verdict)),
            Verdict::NeedMore if count == max => return Ok(Some(verdict)),
            Verdict::NeedMore if count == 0 || ready.is_read_closed() => return Ok(None),
            Verdict::NeedMore => wait_for_more(io),
        }
    }
}

async fn peek<T>(
    io: &TcpStream,
    max: usize,
    inspect: impl Fn(&[u8]) -> T,
) -> io::Result<(T, usize)> {
    // On the heap, so that a connection does not carry it to its end.
    let mut bytes = vec![0; max];
    let count = io.peek(&mut bytes).await?;
    Ok((inspect(&bytes[..count]), count))
}

/// Bytes that are only looked at leave the socket readable: saying that it would block
/// makes the next wait one for new bytes.
fn wait_for_more(io: &TcpStream) {
    let _ = io
        .try_io(Interest::READABLE, || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) });
}

/// What the inspectors do with bytes that are there at once.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = (client_hello::inspect(bytes), http::inspect(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Registry;
    use mesh_testkit::eventually_async;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// What is found when these bytes come one by one, and then nothing more.
    async fn found(bytes: &[u8], closes: bool) -> io::Result<Findings> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let stats = TlsInspectorStats::new(&Registry::new(1));
        let inspectors = Inspectors { tls: Some(&stats), http: true };
        let mut findings = Findings::default();
        let writer = async {
            for byte in bytes {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            if closes {
                client.shutdown().await.unwrap();
            }
        };
        let (inspected, ()) = tokio::join!(inspectors.inspect(&server, &mut findings), writer);
        inspected?;
        // All is there for whoever comes next, though perhaps not at once.
        let all = eventually_async("all bytes", async || {
            let mut all = vec![0; bytes.len() + 1];
            let count = if bytes.is_empty() { 0 } else { server.peek(&mut all).await.unwrap() };
            all.truncate(count);
            (count >= bytes.len()).then_some(all)
        })
        .await;
        assert_eq!(all, bytes);
        Ok(findings)
    }

    #[tokio::test]
    async fn waits_for_bytes_that_come_one_by_one_and_takes_none() {
        let http = found(b"GET / HTTP/1.1\r\n", false).await.unwrap();
        assert!(!http.is_tls);
        assert_eq!(http.application_protocols, [Box::from("http/1.1")]);
        let hello = client_hello::tests::real("a.test", &["h2"]);
        let tls = found(&hello, false).await.unwrap();
        assert!(tls.is_tls);
        assert_eq!(tls.server_name.as_deref(), Some("a.test"));
        assert_eq!(tls.application_protocols, [Box::from("h2")]);
    }

    #[tokio::test]
    async fn a_client_that_stops_halfway_is_neither() {
        let hello = client_hello::tests::real("a.test", &["h2"]);
        for bytes in [&b"GET /"[..], &hello[..100], b"\x16", b""] {
            let findings = found(bytes, true).await.unwrap();
            assert!(!findings.is_tls && findings.application_protocols.is_empty(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_hello_without_end_is_refused() {
        let mut hello = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
        hello.resize(client_hello::PEEK, 0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(&hello).await.unwrap();
        let stats = TlsInspectorStats::new(&Registry::new(1));
        let inspectors = Inspectors { tls: Some(&stats), http: true };
        assert!(inspectors.inspect(&server, &mut Findings::default()).await.is_err());
        assert_eq!(stats.client_hello_too_big.value(), 1);
    }
}
