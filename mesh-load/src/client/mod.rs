//! The clients. Each behaves as a correct one does: it goes by `Connection: close` and
//! GOAWAY, takes a new connection when it needs one, and sends nothing twice but what the
//! server has said that it did not process.

mod connect;
mod grpc;
mod http1;
mod http2;
mod shared;
mod tcp;
mod websocket;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::HeaderMap;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::connect::{Connector, tls};
use crate::failure::Failure;
use crate::pace::{Goal, Pace};
use crate::pattern;
use crate::scenario::{Clients, Protocol, TlsFiles};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What all clients of one kind share.
pub(crate) struct Kind {
    clients: Clients,
    headers: HeaderMap,
    connector: Connector,
    book: Arc<Book>,
    goal: Arc<Goal>,
}

/// A failure, and when the connection that it happened on was made.
struct Failed {
    failure: Failure,
    connected: Option<Instant>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, connected: None }
    }
}

impl Failure {
    fn on(self, connected: Instant) -> Failed {
        Failed { failure: self, connected: Some(connected) }
    }
}

impl Kind {
    /// # Errors
    /// When the files for TLS cannot be used, or a header.
    pub(crate) fn new(
        clients: &Clients,
        files: Option<&TlsFiles>,
        book: Arc<Book>,
        goal: &Arc<Goal>,
    ) -> Result<Self> {
        let alpn: &[&str] = match clients.protocol {
            Protocol::Http1 | Protocol::WebSocket => &["http/1.1"],
            Protocol::Http2 | Protocol::Grpc => &["h2"],
            Protocol::Tcp | Protocol::Connect => &[],
        };
        let files = files.filter(|_| clients.tls);
        let tls = files.map(|files| tls(files, alpn)).transpose()?;
        let connector = Connector::new(&clients.address, tls);
        let (clients, headers) = (clients.clone(), clients.header_map()?);
        Ok(Self { clients, headers, connector, book, goal: Arc::clone(goal) })
    }

    /// Starts every client of this kind.
    pub(crate) fn start(self, running: &mut JoinSet<()>) {
        let kind = Arc::new(self);
        let count = kind.clients.connections;
        for index in 0..count {
            let one = Arc::clone(&kind);
            match kind.clients.protocol {
                Protocol::Http1 => drop(running.spawn(http1::run(one, index))),
                Protocol::WebSocket => drop(running.spawn(websocket::run(one, index))),
                Protocol::Tcp => drop(running.spawn(tcp::run(one, index))),
                Protocol::Connect => drop(running.spawn(connect::run(one, index))),
                Protocol::Http2 => http2::start(&one, index, running),
                Protocol::Grpc => grpc::start(&one, index, running),
            }
        }
    }

    /// The pace of the `index`th client; those with streams have one for each stream.
    fn pace(&self, index: u32) -> Pace {
        let streams = match self.clients.protocol {
            Protocol::Http2 | Protocol::Grpc => self.clients.streams,
            _ => 1,
        };
        Pace::new(&self.goal, self.clients.rate, index, self.clients.connections * streams)
    }

    fn body(&self, seed: u64) -> Bytes {
        pattern::body(seed, self.clients.body)
    }

    /// Where a GET finds the body of this seed.
    fn path(&self, seed: u64) -> String {
        format!("/bytes/{}?seed={seed}", self.clients.body)
    }

    fn check(&self, what: &'static str, expected: &[u8], got: &[u8]) -> Result<(), Failure> {
        if expected == got {
            return Ok(());
        }
        let (expected, got) = (expected.len(), got.len());
        Err(Failure::Wrong(what, format!("expected a body of {expected} bytes, got {got} others")))
    }

    /// Enters how a request ended; after a failure, waits for a moment.
    async fn enter(&self, outcome: Result<(), Failed>, start: Instant, pace: &Pace) {
        match outcome {
            Ok(()) => self.book.answered(start),
            Err(Failed { failure, connected }) => {
                self.book.failed(&failure, connected);
                pace.back_off().await;
            }
        }
    }
}

/// Ten seconds without anything are a failure.
async fn in_time<T>(what: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::time::timeout(TIMEOUT, what).await.unwrap_or_else(|_| Err(Failure::Timeout.into()))
}
