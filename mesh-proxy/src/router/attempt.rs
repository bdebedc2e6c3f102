//! One try to get a response from an upstream.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::{Method, Response, StatusCode, Version};

use super::{Stream, rewrite};
use crate::cluster::{Cluster, Permit, PickContext};
use crate::codec::client::{SendError, SendErrorKind};
use crate::codec::{Body, BodyError, Protocol};
use crate::config::{HttpProtocol, Labels, RoutingPriority};
use crate::endpoint::{Endpoint, Verdict};
use crate::formatter::Flags;
use crate::pool::{AcquireError, Lease, Wanted};
use crate::transport::ConnectError;

/// A request that an upstream is at work on. Dropped, it is reset.
pub(super) struct Exchange {
    lease: Lease,
    active: Active,
}

/// A request that counts as active, until it is dropped.
struct Active {
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
    started: Instant,
    /// An HTTP/2 stream that is reset when this is dropped.
    is_open: Cell<bool>,
    _permit: Permit,
}

/// Why a try gave no response.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// The endpoint that was tried.
    pub(super) endpoint: Option<u64>,
    /// An HTTP/1 connection that had served a request before, and may have been closing.
    pub(super) reused: bool,
    /// The request's body, when nothing of it was taken.
    pub(super) body: Option<Body>,
    /// Why TLS failed, if that is why.
    pub(super) transport_failure: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    NoEndpoint,
    Overflow,
    ConnectTimeout,
    Connect,
    Send(SendErrorKind),
    PerTryTimeout,
}

/// What one try needs to know.
pub(super) struct Try<'a> {
    pub(super) cluster: &'a Arc<Cluster>,
    /// Endpoints to avoid.
    pub(super) tried: &'a [u64],
    /// A connection that was never used.
    pub(super) fresh: bool,
    pub(super) choice: Choice<'a>,
}

/// What a request and its route say of the endpoint.
#[derive(Clone, Copy, Default)]
pub(super) struct Choice<'a> {
    pub(super) hash: Option<u64>,
    pub(super) subset: Option<&'a Labels>,
    pub(super) priority: RoutingPriority,
    /// Host becomes the endpoint's name; true to tell the one before in `x-forwarded-host`.
    pub(super) host: Option<bool>,
}

/// Chooses an endpoint, gets a connection to it, sends the request and waits for the head
/// of the response.
pub(super) async fn attempt(
    stream: &mut Stream,
    body: Body,
    to: &Try<'_>,
) -> Result<(Response<Body>, Exchange), Failure> {
    let cluster = to.cluster;
    stream.attempts += 1;
    let context = PickContext {
        destination: stream.downstream.original_destination,
        tried: to.tried,
        hash: to.choice.hash,
        subset: to.choice.subset,
        priority: to.choice.priority,
    };
    let Some(endpoint) = cluster.pick(context) else {
        cluster.stats().cx_none_healthy.inc();
        return Err(Failure::new(FailureKind::NoEndpoint, None, body));
    };
    stream.upstream_host = Some(Arc::clone(&endpoint));
    let Ok(permit) = cluster.permit_request(context.priority) else {
        return Err(Failure::new(FailureKind::Overflow, None, body));
    };
    if let (Some(append), Some(name)) = (to.choice.host, &endpoint.hostname) {
        rewrite::host_of_endpoint(&mut stream.head.headers, name, append);
    }
    let protocol = protocol(stream, cluster);
    let pools = stream.downstream.worker.pools.clone();
    let wanted = Wanted { fresh: to.fresh, priority: context.priority };
    let mut lease = match pools.acquire(cluster, &endpoint, protocol, wanted).await {
        Ok(lease) => lease,
        Err(error) => {
            match error {
                // Nobody was asked.
                AcquireError::Overflow | AcquireError::NoPool => stream.upstream_host = None,
                _ => {
                    cluster.report(&endpoint, Verdict::Failed);
                    cluster.stats().rq_pending_failure_eject.inc();
                }
            }
            return Err(Failure::connecting(error, endpoint.id, body));
        }
    };
    cluster.report(&endpoint, Verdict::Connected);
    stream.upstream_local = lease.local();
    stream.upstream_protocol = Some(protocol);
    let active = Active::new(cluster, endpoint, permit, protocol);
    stream.sent = Some(active.started);
    match lease.send(&stream.head, body).await {
        Ok(response) => {
            let now = Instant::now();
            stream.responded = Some(now);
            stream.service_time = Some(now - active.started);
            if response.body().is_empty() {
                active.is_over();
            }
            active.count_response(&response);
            cluster.hear(&active.endpoint, response.headers());
            Ok((response, Exchange { lease, active }))
        }
        Err(error) => {
            tracing::debug!(cluster = %cluster.config.name, %error, "no response");
            active.is_over();
            if error.kind == SendErrorKind::Reset {
                active.cluster.stats().rq_rx_reset.inc();
            }
            if error.kind == SendErrorKind::Protocol {
                active.cluster.stats().cx_protocol_error.inc();
            }
            active.endpoint.stats.rq_error.fetch_add(1, Relaxed);
            cluster.report(&active.endpoint, Verdict::Failed);
            // HTTP/2 says with GOAWAY what it did not process.
            let reused = protocol == Protocol::Http1 && lease.is_reused();
            Err(Failure::sending(error, active.endpoint.id, reused))
        }
    }
}

fn protocol(stream: &Stream, cluster: &Cluster) -> Protocol {
    let is_connect = stream.head.method == Method::CONNECT;
    // An upgrade is HTTP/1's, unless the upstream is said to take it (RFC 8441).
    let takes_tunnel = !stream.is_upgrade || is_connect || cluster.config.http2.allow_connect;
    let is_http2 = match cluster.config.protocol {
        HttpProtocol::Http1 => false,
        HttpProtocol::Http2 => takes_tunnel,
        HttpProtocol::Downstream => stream.head.version == Version::HTTP_2 && takes_tunnel,
    };
    if is_http2 { Protocol::Http2 } else { Protocol::Http1 }
}

impl Active {
    fn new(
        cluster: &Arc<Cluster>,
        endpoint: Arc<Endpoint>,
        permit: Permit,
        protocol: Protocol,
    ) -> Self {
        cluster.stats().rq_total.inc();
        cluster.stats().rq_active.inc();
        endpoint.stats.rq_total.fetch_add(1, Relaxed);
        endpoint.stats.rq_active.fetch_add(1, Relaxed);
        Self {
            cluster: Arc::clone(cluster),
            endpoint,
            started: Instant::now(),
            is_open: Cell::new(protocol == Protocol::Http2),
            _permit: permit,
        }
    }

    /// Its stream has come to an end, well or not.
    fn is_over(&self) {
        self.is_open.set(false);
    }

    fn count_response(&self, response: &Response<Body>) {
        let status = response.status();
        let verdict = super::grpc_outcome::status(response).unwrap_or(status.as_u16());
        self.cluster.report(&self.endpoint, Verdict::Status(verdict));
        let stats = &self.endpoint.stats;
        let counter = if status.is_server_error() { &stats.rq_error } else { &stats.rq_success };
        counter.fetch_add(1, Relaxed);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.cluster.stats().rq_active.dec();
        if self.is_open.get() {
            self.cluster.stats().rq_tx_reset.inc();
        }
        self.endpoint.stats.rq_active.fetch_sub(1, Relaxed);
    }
}

impl Exchange {
    /// The response has come to its end, or the tunnel that it opened.
    pub(super) fn complete(self) {
        self.active.is_over();
        let time = self.active.started.elapsed();
        self.active.cluster.stats().rq_time.record(time.as_millis() as u64);
        self.lease.complete();
    }

    /// The upstream ended the response early.
    pub(super) fn reset(self, error: &BodyError) {
        self.active.is_over();
        if error.is_stream_reset() {
            self.active.cluster.stats().rq_rx_reset.inc();
        }
        if matches!(error, BodyError::Malformed(_)) {
            self.active.cluster.stats().cx_protocol_error.inc();
        }
        self.active.endpoint.stats.rq_error.fetch_add(1, Relaxed);
        self.active.cluster.report(&self.active.endpoint, Verdict::Failed);
    }

    pub(super) fn count_timeout(&self) {
        self.active.cluster.stats().rq_timeout.inc();
        self.active.endpoint.stats.rq_timeout.fetch_add(1, Relaxed);
    }

    pub(super) fn endpoint(&self) -> u64 {
        self.active.endpoint.id
    }

    /// Whether the upstream's word comes by TLS.
    pub(super) fn is_over_tls(&self) -> bool {
        self.active.endpoint.tls.is_some()
    }
}

impl Failure {
    fn new(kind: FailureKind, endpoint: Option<u64>, body: Body) -> Self {
        Self { kind, endpoint, reused: false, body: Some(body), transport_failure: None }
    }

    fn connecting(error: AcquireError, endpoint: u64, body: Body) -> Self {
        let kind = match &error {
            AcquireError::Overflow => FailureKind::Overflow,
            AcquireError::NoPool => FailureKind::NoEndpoint,
            AcquireError::Connect(ConnectError::Timeout) => FailureKind::ConnectTimeout,
            AcquireError::Connect(_) | AcquireError::Handshake(_) => FailureKind::Connect,
        };
        let transport_failure = match &error {
            AcquireError::Connect(error) => error.transport_failure(),
            _ => None,
        };
        Self { transport_failure, ..Self::new(kind, Some(endpoint), body) }
    }

    fn sending(error: SendError, endpoint: u64, reused: bool) -> Self {
        Self {
            kind: FailureKind::Send(error.kind),
            endpoint: Some(endpoint),
            reused,
            body: error.body,
            transport_failure: error.transport_failure,
        }
    }

    /// Whether a try took too long.
    pub(super) fn is_timeout(&self) -> bool {
        self.kind == FailureKind::PerTryTimeout
    }

    /// Status, flag, text and response code details, in Envoy's words; `retried` if other tries
    /// have failed before.
    pub(super) fn reply(
        &self,
        retried: bool,
    ) -> (StatusCode, Flags, Cow<'static, str>, &'static str) {
        const HEAD: &str = "upstream connect error or disconnect/reset before headers. ";
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let (status, flags, reason, details) = match self.kind {
            FailureKind::NoEndpoint => {
                let flags = Flags::NO_HEALTHY_UPSTREAM;
                return (unavailable, flags, "no healthy upstream".into(), "no_healthy_upstream");
            }
            FailureKind::PerTryTimeout => {
                let (status, flags) =
                    (StatusCode::GATEWAY_TIMEOUT, Flags::UPSTREAM_REQUEST_TIMEOUT);
                let text = "upstream request timeout".into();
                return (status, flags, text, "upstream_per_try_timeout");
            }
            FailureKind::Overflow => (
                unavailable,
                Flags::UPSTREAM_OVERFLOW,
                "overflow",
                "upstream_reset_before_response_started{overflow}",
            ),
            FailureKind::ConnectTimeout => (
                unavailable,
                Flags::UPSTREAM_CONNECTION_FAILURE,
                "connection timeout",
                "upstream_reset_before_response_started{connection_timeout}",
            ),
            FailureKind::Connect => (
                unavailable,
                Flags::UPSTREAM_CONNECTION_FAILURE,
                "remote connection failure",
                "upstream_reset_before_response_started{remote_connection_failure}",
            ),
            FailureKind::Send(SendErrorKind::NotSent | SendErrorKind::Closed) => (
                unavailable,
                Flags::UPSTREAM_CONNECTION_TERMINATION,
                "connection termination",
                "upstream_reset_before_response_started{connection_termination}",
            ),
            FailureKind::Send(SendErrorKind::Refused) => (
                unavailable,
                Flags::UPSTREAM_REMOTE_RESET,
                "remote refused stream reset",
                "upstream_reset_before_response_started{remote_refused_stream_reset}",
            ),
            FailureKind::Send(SendErrorKind::Reset) => (
                unavailable,
                Flags::UPSTREAM_REMOTE_RESET,
                "remote reset",
                "upstream_reset_before_response_started{remote_reset}",
            ),
            FailureKind::Send(SendErrorKind::Protocol) => (
                StatusCode::BAD_GATEWAY,
                Flags::UPSTREAM_PROTOCOL_ERROR,
                "protocol error",
                "upstream_reset_before_response_started{protocol_error}",
            ),
        };
        let again = if retried { "retried and the latest " } else { "" };
        let mut text = format!("{HEAD}{again}reset reason: {reason}");
        // What the reset reason says of TCP is enough.
        if let Some(failure) = self.transport_failure.as_ref().filter(|it| it.starts_with("TLS")) {
            text.push_str(", transport failure reason: ");
            text.push_str(failure);
        }
        (status, flags, text.into(), details)
    }
}
