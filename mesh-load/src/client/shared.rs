//! An HTTP/2 connection that several streams share.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::sync::Mutex;

use super::{Failed, Kind};
use crate::failure::Failure;

const NAME: &str = "HTTP/2";

/// Connections that were gone before anything could be sent, one after the other, before
/// that is a failure.
const TRIES: u32 = 5;

/// The connection that takes new streams. When it is gone, or is to get no more, the next
/// stream makes another; streams on the old one go on.
pub(super) struct Shared {
    kind: Arc<Kind>,
    current: Mutex<Option<Current>>,
}

#[derive(Clone)]
struct Current {
    sender: SendRequest<Bytes>,
    since: Instant,
}

/// A stream that was opened.
pub(super) struct Opened {
    pub(super) response: ResponseFuture,
    pub(super) body: SendStream<Bytes>,
    pub(super) since: Instant,
}

impl Shared {
    pub(super) fn new(kind: &Arc<Kind>) -> Self {
        Self { kind: Arc::clone(kind), current: Mutex::new(None) }
    }

    /// Opens a stream with this request; `end`: it has no body.
    pub(super) async fn open(
        &self,
        request: impl Fn() -> Request<()>,
        end: bool,
    ) -> Result<Opened, Failed> {
        let mut last = None;
        for _ in 0..TRIES {
            let Current { sender, since } = self.current().await?;
            // Neither error has sent anything.
            let opened = match sender.ready().await {
                Ok(mut sender) => sender.send_request(request(), end),
                Err(error) => Err(error),
            };
            match opened {
                Ok((response, body)) => return Ok(Opened { response, body, since }),
                Err(error) => {
                    self.forget(since).await;
                    last = Some(Failure::Begin(NAME, error.to_string()).on(since));
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::Timeout.into()))
    }

    async fn current(&self) -> Result<Current, Failed> {
        let mut current = self.current.lock().await;
        if let Some(current) = &*current {
            return Ok(current.clone());
        }
        let connection = self.kind.connector.connect(&self.kind.book).await?;
        let since = connection.since;
        let (sender, driver) = h2::client::handshake(connection.stream)
            .await
            .map_err(|error| Failure::Begin(NAME, error.to_string()).on(since))?;
        tokio::spawn(driver);
        Ok(current.insert(Current { sender, since }).clone())
    }

    /// Takes no more streams on the connection that was made then.
    pub(super) async fn forget(&self, since: Instant) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|current| current.since == since) {
            *current = None;
        }
    }
}

/// Whether the server has said that it did not process the stream (RFC 9113, section 8.7):
/// it may be sent again.
pub(super) fn is_refused(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // Only streams above the GOAWAY's last one end with it; the others, when the connection
    // is cut, with an error of I/O.
    let gone = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    error.is_remote() && (refused || gone)
}

/// How a stream ended that cannot be sent again.
pub(super) fn lost(error: &h2::Error, answered: bool) -> Failure {
    if answered {
        Failure::Cut(NAME, error.to_string())
    } else if error.is_io() {
        Failure::NoAnswer(NAME, error.to_string())
    } else {
        Failure::Wrong(NAME, error.to_string())
    }
}

pub(super) fn check_status<B>(response: &Response<B>) -> Result<(), Failure> {
    let status = response.status();
    if status == 200 {
        return Ok(());
    }
    Err(Failure::Status(NAME, status.as_u16(), format!("{:?}", response.headers())))
}

/// The next piece of the body, whose bytes the server may then replace.
pub(super) async fn piece(body: &mut RecvStream) -> Result<Option<Bytes>, Failure> {
    let Some(piece) = body.data().await else { return Ok(None) };
    let piece = piece.map_err(|error| lost(&error, true))?;
    // Fails only for more than was received.
    let _ = body.flow_control().release_capacity(piece.len());
    Ok(Some(piece))
}

pub(super) async fn trailers(body: &mut RecvStream) -> Result<Option<HeaderMap>, Failure> {
    body.trailers().await.map_err(|error| lost(&error, true))
}
