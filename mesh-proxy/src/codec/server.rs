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
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::linger::linger;
use super::pace::{self, Pace, Paced};
use super::watched::Watched;
use super::{Body, Protocol, Stall};
use crate::config::Http2Options;
use crate::transport::Io;

pub(crate) use super::preface::detect;

/// Envoy's default of `max_request_headers_kb`.
const MAX_HEADERS: u32 = 60 * 1024;

/// Limits and times of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// For a whole request head to arrive.
    pub(crate) headers_timeout: Option<Duration>,
    pub(crate) http2: Http2Options,
}

/// Serves a connection to its end. `handler` answers each request, and sets the pace of an
/// HTTP/2 stream; `stall` tells when the client does not read. When `leave` is done, the connection ends gracefully: HTTP/1
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
) -> hyper::Result<()>
where
    H: Fn(Request<Body>, Option<Rc<Pace>>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>> + 'static,
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut io = Watched::new(io, stall);
    match protocol {
        Protocol::Http1 => {
            let service = service_fn(|request| handler(request.map(Body::hyper), None));
            let connection =
                http1(options).serve_connection(TokioIo::new(io), service).with_upgrades();
            drive(connection, |connection| connection.graceful_shutdown(), leave).await
        }
        Protocol::Http2 => {
            let executor = LocalExecutor::default();
            let service = service_fn(|request: Request<Incoming>| {
                let pace = executor.next_stream();
                let response = handler(request.map(Body::hyper), Some(Rc::clone(&pace)));
                async move { Ok::<_, Infallible>(response.await?.map(|body| Paced::new(body, pace))) }
            });
            let connection = http2(executor.clone(), &options.http2)
                .serve_connection(TokioIo::new(&mut io), service);
            let served =
                drive(connection, |connection| connection.graceful_shutdown(), leave).await;
            linger(io).await;
            served
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

fn http1(options: &Options) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEADERS as usize).header_read_timeout(None);
    if let Some(timeout) = options.headers_timeout {
        builder.timer(TokioTimer::new()).header_read_timeout(timeout);
    }
    builder
}

fn http2(executor: LocalExecutor, options: &Http2Options) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .max_header_list_size(MAX_HEADERS)
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
