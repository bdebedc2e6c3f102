//! HTTP/1.1 and HTTP/2: `GET /bytes/LENGTH?seed=SEED` gives a body, any POST gives its own
//! body back as it comes; gRPC is a POST with a status at the end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use super::{SERVED_BY, websocket};
use crate::pattern;

type Answer = Response<Either<Full<Bytes>, Echo>>;

pub(super) async fn serve(stream: TcpStream) {
    let http = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request)) });
    // A client that goes away in the middle is not this server's failure.
    let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// With this machine's name, or its pod's.
fn answer(request: Request<Incoming>) -> Answer {
    static NAME: LazyLock<Option<HeaderValue>> =
        LazyLock::new(|| HeaderValue::try_from(std::env::var("HOSTNAME").ok()?).ok());
    let mut answer = unnamed_answer(request);
    if let Some(name) = &*NAME {
        answer.headers_mut().insert(SERVED_BY, name.clone());
    }
    answer
}

fn unnamed_answer(request: Request<Incoming>) -> Answer {
    if websocket::is_wanted(&request) {
        return websocket::accept::<Full<Bytes>>(request).map(Either::Left);
    }
    if request.method() == Method::GET {
        return bytes(request.uri()).map(Either::Left);
    }
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let grpc = kind.as_ref().is_some_and(|kind| kind == "application/grpc");
    let mut response = Response::new(Either::Right(Echo {
        body: request.into_body(),
        status: grpc.then(|| HeaderValue::from_static("0")),
    }));
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn bytes(uri: &Uri) -> Response<Full<Bytes>> {
    let length = uri.path().strip_prefix("/bytes/").and_then(|length| length.parse().ok());
    let seed = uri.query().and_then(|query| query.strip_prefix("seed=")?.parse().ok());
    let mut response = Response::default();
    match (length, seed) {
        (Some(length), seed) => {
            *response.body_mut() = Full::new(pattern::body(seed.unwrap_or(0), length));
        }
        (None, _) => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// A body as it comes, without its trailers.
struct Echo {
    body: Incoming,
    /// gRPC's, until it was sent.
    status: Option<HeaderValue>,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                // An empty one (the request's end) would only look like a flood of them.
                Poll::Ready(Some(Ok(frame))) => match frame.data_ref().map(Bytes::is_empty) {
                    Some(false) => Some(Ok(frame)),
                    _ => continue,
                },
                Poll::Ready(None) => self.status.take().map(|status| {
                    let trailers = HeaderMap::from_iter([(GRPC_STATUS, status)]);
                    Ok(Frame::trailers(trailers))
                }),
                Poll::Ready(Some(Err(error))) => Some(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            return Poll::Ready(frame);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.status.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

const GRPC_STATUS: header::HeaderName = header::HeaderName::from_static("grpc-status");
