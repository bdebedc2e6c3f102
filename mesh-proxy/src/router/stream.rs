//! A request on its way through the filters, and what becomes known of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tokio::time::Sleep;

use super::LocalReplies;
use crate::cluster::Cluster;
use crate::codec::{Meter, Protocol, is_grpc};
use crate::config::{ClusterName, Name};
use crate::endpoint::Endpoint;
use crate::formatter::{Flags, LogType, Record, Request};
use crate::routes::Route;
use crate::stats::Held;
use crate::transport::tls::ConnectionInfo;
use crate::worker::Worker;

/// The connection that requests come on.
pub(crate) struct Downstream {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The Unix socket of a connection that has no addresses.
    pub(crate) pipe: Option<Name>,
    /// Where an ORIGINAL_DST cluster sends the requests.
    pub(crate) original_destination: Option<SocketAddr>,
    pub(crate) tls: Option<Box<ConnectionInfo>>,
    /// SNI.
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) worker: Rc<Worker>,
    /// A timer that no request uses now. It stays armed, so that most requests need not
    /// touch the runtime's timers.
    pub(crate) timer: Timer,
}

/// See [`Downstream::timer`].
pub(crate) type Timer = RefCell<Option<Pin<Box<Sleep>>>>;

/// What the router does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// Answers itself, as the route says.
    Direct,
    Other,
}

/// A request, from its head to the end of its response.
pub(crate) struct Stream {
    pub(crate) downstream: Rc<Downstream>,
    /// As it is forwarded: filters and the route change it. The target is in origin form,
    /// the authority is in Host.
    pub(crate) head: Parts,
    /// The client: the connection's peer, or who it says to speak for and is believed to.
    pub(crate) remote: SocketAddr,
    pub(crate) route: Option<Route>,
    /// What the router did, once the request has come to it.
    pub(crate) routed: Option<Routed>,
    pub(crate) started: Instant,
    /// The request's body; `None` when it has none.
    pub(crate) request_meter: Option<Rc<Meter>>,
    /// `request_timeout` of the connection manager.
    pub(crate) request_timeout: Option<Duration>,
    /// `stream_idle_timeout` of the connection manager.
    pub(crate) idle_timeout: Option<Duration>,
    /// `max_stream_duration` of the connection manager, where the route has none.
    pub(crate) max_duration: Option<Duration>,
    /// What becomes of answers of the proxy's own.
    pub(crate) local_replies: Option<Arc<LocalReplies>>,
    /// How many bytes of the body may be kept, where the route says nothing of it.
    pub(crate) body_limit: u64,
    /// The client asks for a WebSocket, and may have one.
    pub(crate) is_upgrade: bool,
    pub(crate) flags: Flags,
    /// Envoy's response code details.
    pub(crate) details: &'static str,
    /// How many of its tries were retries by the route's policy.
    pub(crate) retries: u32,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) upstream_host: Option<Arc<Endpoint>>,
    pub(crate) upstream_local: Option<SocketAddr>,
    pub(crate) upstream_protocol: Option<Protocol>,
    /// How many times it was tried to send the request to an upstream.
    pub(crate) attempts: u32,
    /// When the request's head went to the upstream that was tried last.
    pub(crate) sent: Option<Instant>,
    /// When the head of its response came.
    pub(crate) responded: Option<Instant>,
    /// Why TLS with the upstream failed.
    pub(crate) upstream_failure: Option<Arc<str>>,
    pub(crate) filters: FilterState,
    /// The status that is told of: an upstream's, and when filters see the response any.
    pub(crate) known_status: Option<StatusCode>,
    /// How long the upstream took until its response's head.
    pub(crate) service_time: Option<Duration>,
}

/// What HTTP filters know of a request when its response comes.
#[derive(Default)]
pub(crate) struct FilterState {
    /// Counts among the faults that are active.
    pub(crate) fault: Option<Held>,
    /// The response takes its time: KiB a second.
    pub(crate) response_rate: Option<u64>,
    /// A page of another origin asks, and may.
    pub(crate) cors_origin: Option<HeaderValue>,
    /// The health check filter whose request this is.
    pub(crate) health_check: Option<Box<str>>,
}

impl Stream {
    /// A request of which nothing but its head is known yet, without limits of time.
    pub(crate) fn new(downstream: Rc<Downstream>, remote: SocketAddr, head: Parts) -> Self {
        Self {
            remote,
            downstream,
            head,
            route: None,
            started: Instant::now(),
            request_meter: None,
            request_timeout: None,
            idle_timeout: None,
            max_duration: None,
            local_replies: None,
            body_limit: 0,
            is_upgrade: false,
            flags: Flags::NONE,
            details: "",
            routed: None,
            retries: 0,
            cluster: None,
            upstream_host: None,
            upstream_local: None,
            upstream_protocol: None,
            attempts: 0,
            sent: None,
            responded: None,
            upstream_failure: None,
            filters: FilterState::default(),
            known_status: None,
            service_time: None,
        }
    }

    /// A copy of the request, with a head of its own: what becomes of it is nobody's matter.
    pub(super) fn shadow(&self, head: Parts) -> Self {
        Self::new(Rc::clone(&self.downstream), self.remote, head)
    }

    /// Notes why there is no response from an upstream.
    pub(crate) fn fail(&mut self, flags: Flags, details: &'static str) {
        self.flags.insert(flags);
        self.details = details;
    }

    /// The details, with the transport's reason inside where there is one, as in Envoy.
    pub(crate) fn details_with_reason(&self) -> Cow<'static, str> {
        let reason = self.upstream_failure.as_ref().filter(|_| self.details.ends_with('}'));
        match (reason, self.details.strip_suffix('}')) {
            (Some(reason), Some(head)) => format!("{head}|{}}}", reason.replace(' ', "_")).into(),
            _ => self.details.into(),
        }
    }

    /// The name of the cluster that the route leads to.
    pub(crate) fn route_cluster(&self) -> Option<&str> {
        self.cluster_name(&self.route.as_ref()?.destination()?.cluster)
    }

    /// The name, or what the request says in its stead.
    pub(super) fn cluster_name<'a>(&'a self, name: &'a ClusterName) -> Option<&'a str> {
        match name {
            ClusterName::Fixed(name) => Some(name),
            ClusterName::Header(name) => self.head.headers.get(name)?.to_str().ok(),
        }
    }

    /// The cluster that the request goes to, or would have gone to.
    fn known_cluster(&self) -> Option<&str> {
        if let Some(cluster) = &self.cluster {
            return Some(&cluster.config.name);
        }
        let clusters = &self.downstream.worker.shared.clusters;
        self.route_cluster().filter(|name| clusters.get(name).is_some())
    }

    /// Whether the client did not send the whole request.
    pub(super) fn is_broken(&self) -> bool {
        self.request_meter.as_ref().is_some_and(|meter| meter.is_broken())
    }

    /// Whether the client speaks gRPC, which takes errors in its own form.
    pub(crate) fn is_grpc(&self) -> bool {
        is_grpc(&self.head.headers)
    }

    /// What is known so far, for logs and headers.
    pub(crate) fn record(&self) -> Record<'_> {
        let downstream = &self.downstream;
        let duration = self.started.elapsed();
        let since = |time: Instant| time.saturating_duration_since(self.started);
        let received = match &self.request_meter {
            None => Some(Duration::ZERO),
            Some(meter) => meter.ended().map(since),
        };
        let head = &self.head;
        Record {
            kind: LogType::NotSet,
            duration,
            request_received: received,
            request_sent: self.sent.map(since),
            response_began: self.responded.map(since),
            request: Some(Request { head, is_over_tls: downstream.tls.is_some() }),
            flags: self.flags,
            bytes_received: self.request_meter.as_ref().map_or(0, |meter| meter.bytes()),
            upstream_host: self.upstream_host.as_ref().map(|host| host.address),
            upstream_cluster: self.known_cluster(),
            response_code: self.known_status.map_or(0, |status| status.as_u16()),
            response_code_details: Some(self.details).filter(|details| !details.is_empty()),
            upstream_local: self.upstream_local,
            upstream_protocol: self.upstream_protocol.map(Protocol::name),
            upstream_failure: self.upstream_failure.as_deref(),
            attempts: self.attempts,
            downstream_direct: downstream.remote,
            downstream_pipe: downstream.pipe.as_deref(),
            downstream_tls: downstream.tls.as_deref(),
            is_health_check: self.filters.health_check.is_some(),
            server_name: downstream.server_name.as_deref(),
            route_name: self.route.as_ref().map(|route| &**route.name()).filter(|n| !n.is_empty()),
            ..Record::new(SystemTime::now() - duration, self.remote, downstream.local)
        }
    }
}
