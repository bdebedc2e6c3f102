//! HTTP/2 to an upstream.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, SendStream};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::body::Pump;
use super::{Http2Body, send, tunnel};
use crate::codec::Body;
use crate::codec::client::{SendError, SendErrorKind, transport_failure};
use crate::config::{BufferLimit, Http2Options};
use crate::transport::Io;

/// Bytes that a peer may send on a stream before it hears that some were consumed.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection together.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a stream that are held until the peer takes them.
pub(crate) const SEND_BUFFER: usize = 400 * 1024;

/// How long a peer may take until it has said what it takes.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(1);

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A connection that takes many requests at once.
pub(crate) struct Http2 {
    sender: Rc<SendRequest<Bytes>>,
    /// Told when the peer has said that it takes tunnels.
    takes_tunnels: Rc<Notify>,
}

impl Http2 {
    /// The connection, and what drives it: to be polled by a task until it ends.
    pub(crate) async fn new(
        io: Io,
        options: &Http2Options,
        limit: BufferLimit,
    ) -> Result<(Self, impl Future<Output = ()> + 'static), h2::Error> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .max_send_buffer_size(limit.within(SEND_BUFFER))
            .initial_window_size(limit.window(options.initial_stream_window_size, STREAM_WINDOW))
            .initial_connection_window_size(
                limit.window(options.initial_connection_window_size, CONNECTION_WINDOW),
            );
        let (sender, mut connection) = builder.handshake(io).await?;
        // With the last one the connection ends: who drives it has none.
        let sender = Rc::new(sender);
        let own = Rc::downgrade(&sender);
        let takes_tunnels = Rc::<Notify>::default();
        let told = Rc::clone(&takes_tunnels);
        let driver = async move {
            let mut is_told = false;
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                let sender = own.upgrade().filter(|_| !is_told);
                if sender.is_some_and(|sender| sender.is_extended_connect_protocol_enabled()) {
                    is_told = true;
                    told.notify_waiters();
                }
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        };
        Ok((Self { sender, takes_tunnels }, driver))
    }

    /// The peer's `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub(crate) fn max_streams(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Waits until the peer has said that it takes other protocols inside its streams (RFC
    /// 8441, section 3); `false` when it does not.
    async fn takes_tunnels(&self) -> bool {
        let told = self.takes_tunnels.notified();
        if self.sender.is_extended_connect_protocol_enabled() {
            return true;
        }
        tokio::time::timeout(SETTINGS_TIMEOUT, told).await.is_ok()
    }

    /// Sends a request and waits for the head of its response. The head has an origin-form
    /// target, a Host header, and none that belongs to an HTTP/1 connection, but for an
    /// upgrade's: that is asked for as HTTP/2 has it. Dropping the
    /// future, or the response's body, resets the stream.
    pub(crate) async fn send(&self, head: &Parts, body: Body) -> Result<Response<Body>, SendError> {
        let upgrade = head.headers.get(header::UPGRADE).cloned();
        let request = request(head)?;
        if upgrade.is_some() && !self.takes_tunnels().await {
            let detail = "the upstream takes no other protocol inside its streams";
            return Err(SendError::new(SendErrorKind::Protocol, detail));
        }
        let mut sender = (*self.sender).clone();
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
        let (mut parts, stream) = response.await.map_err(failure)?.into_parts();
        if let Some(protocol) = upgrade {
            tunnel::to_switched(&mut parts, &protocol);
        }
        Ok(Response::from_parts(parts, Body::http2(Http2Body::of_response(stream, pump))))
    }
}

fn request(head: &Parts) -> Result<Request<()>, SendError> {
    let bad = |error: &dyn std::fmt::Display| SendError::new(SendErrorKind::Protocol, error);
    let mut request = Request::new(());
    *request.headers_mut() = head.headers.clone();
    let headers = request.headers_mut();
    let host = headers.remove(header::HOST).unwrap_or(HeaderValue::from_static(""));
    let mut extensions = http::Extensions::new();
    let is_tunnel = tunnel::take_upgrade(headers, &mut extensions);
    // That of the request, not of this connection (Envoy's `:scheme`).
    let is_https = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
    let mut uri = http::uri::Parts::default();
    uri.authority = Some(Authority::try_from(host.as_bytes()).map_err(|error| bad(&error))?);
    if head.method != Method::CONNECT {
        uri.scheme = Some(if is_https { Scheme::HTTPS } else { Scheme::HTTP });
        uri.path_and_query = head.uri.path_and_query().cloned();
    }
    *request.uri_mut() = Uri::from_parts(uri).map_err(|error| bad(&error))?;
    *request.method_mut() = if is_tunnel { Method::CONNECT } else { head.method.clone() };
    *request.extensions_mut() = extensions;
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
    let transport_failure = transport_failure(&error);
    let connection_broke = !error.is_reset();
    SendError { connection_broke, transport_failure, ..SendError::new(kind, error) }
}

/// The connection was closed, or is going away.
fn not_sent(error: &h2::Error, body: Body) -> SendError {
    let transport_failure = transport_failure(error);
    let error = SendError::new(SendErrorKind::NotSent, error);
    SendError { body: Some(body), connection_broke: true, transport_failure, ..error }
}

/// Sends a body to its end.
async fn pump(mut body: Body, mut stream: SendStream<Bytes>) {
    if let Err(Some(reason)) = send::body(&mut body, &mut stream, &()).await {
        stream.send_reset(reason);
    }
}
