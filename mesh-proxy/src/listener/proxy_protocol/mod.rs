//! The listener filter `proxy_protocol`: a proxy in front says whose connection it is. Its
//! header is taken out; what follows is left in the socket.

mod header;
mod stats;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::inspector::{Verdict, look};
use crate::config;
use crate::stats::Registry;
pub(super) use header::Header;
use header::{Beginning, Malformed};
use stats::{Stats, Version};

/// The filter at work.
pub(super) struct ProxyProtocol {
    config: Arc<config::ProxyProtocol>,
    stats: Stats,
}

impl ProxyProtocol {
    pub(super) fn new(config: &Arc<config::ProxyProtocol>, registry: &Registry) -> Self {
        Self { config: Arc::clone(config), stats: Stats::new(config, registry) }
    }

    /// Waits for the header, for which the caller sets a deadline, and takes it. `None` when
    /// the connection is the proxy's own, or has no header and needs none. Cancelled, it may
    /// leave a part of the header behind: the connection has to be closed then, unless
    /// nothing of it has come.
    ///
    /// # Errors
    /// The connection failed, or is to be closed.
    pub(super) async fn take(&self, io: &TcpStream) -> io::Result<Option<Header>> {
        // One that is not taken here is seen all the same, but where it is no header then.
        let is_lax = self.config.allow_requests_without_proxy_protocol;
        let (v1, v2) = (self.config.v1 || !is_lax, self.config.v2 || !is_lax);
        let begins = |bytes: &[u8]| header::beginning(bytes, v1, v2);
        let beginning = match look(io, header::LONGEST_V1, begins).await? {
            Some(Verdict::Done(beginning)) => beginning,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        match beginning {
            Beginning::V1 { length } if self.config.v1 => {
                let line = read(io, length).await?;
                self.parsed(&self.stats.v1, header::parse_v1(&line))
            }
            Beginning::V2 { length } if self.config.v2 => {
                let header = read(io, length).await?;
                self.parsed(&self.stats.v2, header::parse_v2(&header))
            }
            Beginning::V1 { .. } => {
                self.stats.v1.refuse();
                Err(io::Error::other("a PROXY header of version 1 is not taken"))
            }
            Beginning::V2 { .. } => {
                self.stats.v2.refuse();
                Err(io::Error::other("a PROXY header of version 2 is not taken"))
            }
            Beginning::Endless => self.parsed(&self.stats.v1, Err(Malformed)),
            Beginning::Other if is_lax => {
                self.stats.not_found_allowed.inc();
                Ok(None)
            }
            Beginning::Other => {
                self.stats.missing();
                Err(io::Error::other("there is no PROXY header"))
            }
        }
    }

    fn parsed(
        &self,
        version: &Version,
        parsed: Result<Option<Header>, Malformed>,
    ) -> io::Result<Option<Header>> {
        match parsed {
            Ok(header) => {
                version.found.inc();
                Ok(header)
            }
            Err(Malformed) => {
                self.stats.malformed(version);
                Err(io::Error::other("its PROXY header is malformed"))
            }
        }
    }
}

/// Takes exactly so many bytes out of the socket.
async fn read(io: &TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        io.readable().await?;
        match io.try_read(&mut bytes[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// What is done with bytes that are there at once.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    for (v1, v2) in [(true, true), (true, false), (false, true)] {
        match header::beginning(bytes, v1, v2) {
            Verdict::Done(Beginning::V1 { length }) => _ = header::parse_v1(&bytes[..length]),
            Verdict::Done(Beginning::V2 { length }) => {
                _ = bytes.get(..length).map(header::parse_v2);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What is taken of these bytes, which come one by one, and what is left of them.
    async fn taken(
        config: config::ProxyProtocol,
        bytes: &[u8],
    ) -> (io::Result<Option<Header>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let filter = ProxyProtocol::new(&Arc::new(config), &Registry::new(1));
        let writer = async {
            for byte in bytes {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (taken, ()) = tokio::join!(filter.take(&server), writer);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        (taken, rest)
    }

    fn config(is_lax: bool, v1: bool, v2: bool) -> config::ProxyProtocol {
        let allow_requests_without_proxy_protocol = is_lax;
        config::ProxyProtocol {
            allow_requests_without_proxy_protocol,
            v1,
            v2,
            stat_prefix: "".into(),
        }
    }

    #[tokio::test]
    async fn takes_the_header_and_no_byte_more() {
        let mut v2 = header::tests::v2(0x21, 0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 8, 4, 0, 0]);
        v2.extend_from_slice(b"rest");
        for bytes in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 9 8\r\nrest"[..], &v2] {
            let (header, rest) = taken(config(false, true, true), bytes).await;
            assert_eq!(header.unwrap().unwrap().source, "1.2.3.4:9".parse().unwrap());
            assert_eq!(rest, b"rest");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_or_left() {
        for is_lax in [true, false] {
            let (header, rest) = taken(config(is_lax, true, true), b"GET / HTTP/1.1").await;
            assert_eq!((header.is_ok(), &*rest), (is_lax, &b"GET / HTTP/1.1"[..]));
            // A version that is not taken is none, where none is needed.
            let line = b"PROXY UNKNOWN\r\n";
            let (header, rest) = taken(config(is_lax, false, true), line).await;
            assert_eq!((header.is_ok(), &*rest), (is_lax, &line[..]));
        }
        assert!(taken(config(true, true, true), b"PROXY TCP4 1.2.").await.0.is_err());
    }
}
