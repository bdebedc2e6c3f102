//! HTTP/2 to an upstream, by `h2`.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderName, Method, Request, Response, Uri, header};
use http_body::Frame;
use tokio::task::{AbortHandle, spawn_local};

use super::{SendError, SendErrorKind};
use crate::codec::{Body, BodyError};
use crate::config::Http2Options;
use crate::transport::Io;

/// Bytes that a peer may send on a stream before it hears that some were consumed.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection together.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A connection that takes many requests at once.
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
}

impl Http2 {
    /// The connection, and what drives it: to be polled by a task until it ends.
    pub(crate) async fn new(
        io: Io,
        options: &Http2Options,
    ) -> Result<(Self, impl Future<Output = ()> + 'static), h2::Error> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(options.initial_stream_window_size.unwrap_or(STREAM_WINDOW))
            .initial_connection_window_size(
                options.initial_connection_window_size.unwrap_or(CONNECTION_WINDOW),
            );
        let (sender, connection) = builder.handshake(io).await?;
        let driver = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        };
        Ok((Self { sender }, driver))
    }

    /// The peer's `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub(crate) fn max_streams(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Sends a request and waits for the head of its response. The head has an origin-form
    /// target, a Host header, and none that belongs to an HTTP/1 connection. Dropping the
    /// future, or the response's body, resets the stream.
    pub(crate) async fn send(&self, head: &Parts, body: Body) -> Result<Response<Body>, SendError> {
        let request = request(head)?;
        let mut sender = self.sender.clone();
        if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
            return Err(not_sent(&error, body));
        }
        let is_whole = body.is_empty();
        let (response, stream) = match sender.send_request(request, is_whole) {
            Ok(sent) => sent,
            Err(error) if error.is_io() || error.is_go_away() => {
                return Err(not_sent(&error, body));
            }
            // The connection was ready: no other will take this request either.
            Err(error) => return Err(SendError::new(SendErrorKind::Protocol, error)),
        };
        let pump = (!is_whole).then(|| Pump(spawn_local(pump(body, stream)).abort_handle()));
        let (parts, stream) = response.await.map_err(failure)?.into_parts();
        Ok(Response::from_parts(
            parts,
            Body::http2(Http2Body { stream, is_data: true, _pump: pump }),
        ))
    }
}

fn request(head: &Parts) -> Result<Request<()>, SendError> {
    let bad = |error: &dyn std::fmt::Display| SendError::new(SendErrorKind::Protocol, error);
    let host = head.headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
    let mut uri = http::uri::Parts::default();
    uri.authority = Some(Authority::try_from(host).map_err(|error| bad(&error))?);
    if head.method != Method::CONNECT {
        // That of the request, not of this connection (Envoy's `:scheme`).
        let is_https = head.headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
        uri.scheme = Some(if is_https { Scheme::HTTPS } else { Scheme::HTTP });
        uri.path_and_query = head.uri.path_and_query().cloned();
    }
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(uri).map_err(|error| bad(&error))?;
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    request.headers_mut().remove(header::HOST);
    Ok(request)
}

fn failure(error: h2::Error) -> SendError {
    let kind = if error.reason() == Some(Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR))
    {
        SendErrorKind::Refused
    } else if error.is_reset() {
        SendErrorKind::Reset
    } else if error.is_io() || error.is_go_away() {
        SendErrorKind::Closed
    } else {
        SendErrorKind::Protocol
    };
    let transport_failure = super::transport_failure(&error);
    let connection_broke = !error.is_reset();
    SendError { connection_broke, transport_failure, ..SendError::new(kind, error) }
}

/// The connection was closed, or is going away.
fn not_sent(error: &h2::Error, body: Body) -> SendError {
    let transport_failure = super::transport_failure(error);
    let error = SendError::new(SendErrorKind::NotSent, error);
    SendError { body: Some(body), connection_broke: true, transport_failure, ..error }
}

/// The task that sends a request's body, ended when nobody waits for the response.
struct Pump(AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a body as fast as the peer takes it.
async fn pump(mut body: Body, mut stream: SendStream<Bytes>) {
    let outcome = send_body(&mut body, &mut stream).await;
    if let Err(Some(reason)) = outcome {
        stream.send_reset(reason);
    }
}

/// An error is the reason to reset the stream; `None` when the peer has reset it.
async fn send_body(body: &mut Body, stream: &mut SendStream<Bytes>) -> Result<(), Option<Reason>> {
    loop {
        let frame = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(None));
            }
            let body = std::pin::Pin::new(&mut *body);
            http_body::Body::poll_frame(body, cx).map(|frame| {
                // The downstream is gone, and with it the rest of its request.
                frame.transpose().map_err(|_| Some(Reason::CANCEL))
            })
        })
        .await?;
        let Some(frame) = frame else {
            return stream.send_data(Bytes::new(), true).map_err(|_| None);
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_empty();
                send_data(stream, data, is_last).await?;
                if is_last {
                    return Ok(());
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return stream.send_trailers(trailers).map_err(|_| None);
            }
        }
    }
}

async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
) -> Result<(), Option<Reason>> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(capacity)) => capacity,
            Some(Err(_)) | None => return Err(None),
        };
        let part = data.split_to(capacity.min(data.len()));
        let ends = is_last && data.is_empty();
        stream.send_data(part, ends).map_err(|_| None)?;
        if ends {
            return Ok(());
        }
    }
    if is_last { stream.send_data(Bytes::new(), true).map_err(|_| None) } else { Ok(()) }
}

/// The body of a response.
pub(in crate::codec) struct Http2Body {
    stream: RecvStream,
    /// Whether the trailers are still to come.
    is_data: bool,
    /// The request's body may still be on its way.
    _pump: Option<Pump>,
}

impl Http2Body {
    pub(in crate::codec) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever asked has room for it: let the peer send as much again.
                    let released = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(
                        released.map(|()| Frame::data(data)).map_err(BodyError::Http2),
                    ));
                }
                // The response is complete, the rest of the request is not wanted
                // (RFC 9113, section 8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Http2(error)))),
                None => self.is_data = false,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(BodyError::Http2);
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    pub(in crate::codec) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
