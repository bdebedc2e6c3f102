//! The codecs towards clients.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::linger::linger;
use super::pace::{self, Pace, Paced};
use super::watched::Watched;
use super::{Body, Limits, Malformed, Protocol, Stall, http1};
use crate::config::{Http1Options, Http2Options};
use crate::transport::Io;

pub(crate) use super::preface::detect;

/// Limits and times of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Of the head of a request.
    pub(crate) headers: Limits,
    /// For a whole request head to arrive.
    pub(crate) headers_timeout: Option<Duration>,
    /// How long nothing of an HTTP/1 head may come.
    pub(crate) head_idle_timeout: Option<Duration>,
    /// How long a connection that is to end is read from, so that the client can read the
    /// last response; see [`linger`].
    pub(crate) delayed_close: Option<Duration>,
    pub(crate) http1: Http1Options,
    pub(crate) http2: Http2Options,
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Http1(#[from] http1::server::Error),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl Error {
    /// Whether the client broke its protocol.
    pub(crate) fn is_protocol(&self) -> bool {
        matches!(self, Self::Http2(error) if error.is_parse())
    }
}

/// Serves a connection to its end. `handler` answers each request, also one that is none, and
/// sets the pace of an HTTP/2 stream; `stall` tells when the client does not read. HTTP/1 ends
/// with a response that says `Connection`. When `leave` is done, the connection ends gracefully: HTTP/1
/// closes when idle or says `Connection: close` with its next response; HTTP/2 says
/// GOAWAY, waits a round trip for requests on their way, says GOAWAY again, and then leaves
/// the client a second to end too. Dropping the future closes the connection at once.
pub(crate) async fn serve<H, F, B>(
    io: Io,
    stall: Stall,
    protocol: Protocol,
    options: &Options,
    handler: H,
    leave: impl Future<Output = ()>,
) -> Result<(), Error>
where
    H: Fn(Result<Request<Body>, Malformed>, Option<Rc<Pace>>) -> F,
    F: Future<Output = Response<B>> + 'static,
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    match protocol {
        Protocol::Http1 => {
            let handler = |request| handler(request, None);
            Ok(http1::server::serve(io, stall, options, handler, leave).await?)
        }
        Protocol::Http2 => {
            let mut io = Watched::new(io, stall);
            let executor = LocalExecutor::default();
            let service = service_fn(|request: Request<Incoming>| {
                let pace = executor.next_stream();
                let response = handler(Ok(request.map(Body::hyper)), Some(Rc::clone(&pace)));
                async move { Ok::<_, Infallible>(response.await.map(|body| Paced::new(body, pace))) }
            });
            let connection =
                http2(executor.clone(), options).serve_connection(TokioIo::new(&mut io), service);
            let served =
                drive(connection, |connection| connection.graceful_shutdown(), leave).await;
            linger(io, options.delayed_close).await;
            Ok(served?)
        }
    }
}

async fn drive<C: Future>(
    connection: C,
    end: impl FnOnce(Pin<&mut C>),
    leave: impl Future<Output = ()>,
) -> C::Output {
    let (mut connection, mut leave) = (pin!(connection), pin!(leave));
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = &mut leave => end(connection.as_mut()),
    }
    connection.await
}

fn http2(executor: LocalExecutor, options: &Options) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(executor);
    let Options { headers, http2: options, .. } = options;
    builder
        .max_header_list_size(u32::try_from(headers.bytes).unwrap_or(u32::MAX))
        // Envoy's default.
        .max_concurrent_streams(options.max_concurrent_streams.unwrap_or(1024))
        .initial_stream_window_size(
            options.initial_stream_window_size.unwrap_or(super::client::STREAM_WINDOW),
        )
        .initial_connection_window_size(
            options.initial_connection_window_size.unwrap_or(super::client::CONNECTION_WINDOW),
        );
    builder
}

/// Runs a stream's task on the connection's own worker, for as long as its client takes
/// the response.
#[derive(Clone, Default)]
struct LocalExecutor {
    /// The codec starts a stream's task as soon as it has called the service.
    next: Rc<Cell<Option<Rc<Pace>>>>,
}

impl LocalExecutor {
    fn next_stream(&self) -> Rc<Pace> {
        let pace = Rc::<Pace>::default();
        self.next.set(Some(Rc::clone(&pace)));
        pace
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(pace::watch(self.next.take().unwrap_or_default(), future));
    }
}
