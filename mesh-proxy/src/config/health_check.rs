//! Active health checks.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Method};
use bytes::Bytes;

use super::{Name, StringMatch};

/// Envoy's `HealthCheck`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HealthCheck {
    pub(crate) timeout: Duration,
    pub(crate) intervals: Intervals,
    /// `initial_jitter`: the first check comes by chance within this time.
    pub(crate) initial_jitter: Duration,
    /// How many failures in a row make a healthy endpoint unhealthy. An answer that says so
    /// does at once.
    pub(crate) unhealthy_threshold: u32,
    /// How many successes in a row make an unhealthy endpoint healthy; the first check of all
    /// does at once.
    pub(crate) healthy_threshold: u32,
    /// `alt_port`, in the endpoint's port's place.
    pub(crate) port: Option<u16>,
    /// `reuse_connection`, true by default.
    pub(crate) reuse_connection: bool,
    pub(crate) probe: Probe,
}

/// How long it is to the next check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intervals {
    /// `interval`
    pub(crate) healthy: Duration,
    /// `healthy_edge_interval`: until an endpoint counts as healthy again.
    pub(crate) healthy_edge: Duration,
    /// `unhealthy_interval`
    pub(crate) unhealthy: Duration,
    /// `unhealthy_edge_interval`: until an endpoint counts as unhealthy.
    pub(crate) unhealthy_edge: Duration,
    /// `no_traffic_interval`: of a cluster to which there never was a connection.
    pub(crate) no_traffic: Duration,
    /// `no_traffic_healthy_interval`
    pub(crate) no_traffic_healthy: Duration,
    /// `interval_jitter`: up to so much more, by chance.
    pub(crate) jitter: Duration,
    /// `interval_jitter_percent`: up to so much of the interval more, by chance.
    pub(crate) jitter_percent: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Probe {
    Http(Box<HttpProbe>),
    Grpc(GrpcProbe),
    Tcp(TcpProbe),
}

/// `http_health_check`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpProbe {
    /// Or else the cluster's name.
    pub(crate) host: Option<Name>,
    pub(crate) path: Name,
    pub(crate) method: Method,
    /// `codec_client_type` HTTP2
    pub(crate) http2: bool,
    /// `request_headers_to_remove`, which go first.
    pub(crate) remove: Vec<HeaderName>,
    /// `request_headers_to_add`, and whether what is there already is overwritten.
    pub(crate) add: Vec<(HeaderName, HeaderValue, bool)>,
    pub(crate) send: Bytes,
    /// What must be in the response's body, in this order.
    pub(crate) receive: Vec<Bytes>,
    /// `response_buffer_size`: how much of the body is looked at, 1024 bytes by default; 0 is
    /// all.
    pub(crate) buffer: usize,
    /// `expected_statuses`, 200 alone by default.
    pub(crate) expected: Vec<Range<u16>>,
    /// `retriable_statuses`: as if there were no answer.
    pub(crate) retriable: Vec<Range<u16>>,
    /// `service_name_matcher`: of `x-envoy-upstream-healthchecked-cluster` in the response.
    pub(crate) service_name: Option<StringMatch>,
}

/// `grpc_health_check`: `grpc.health.v1.Health`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GrpcProbe {
    pub(crate) service: String,
    /// Or else the cluster's name.
    pub(crate) authority: Option<Name>,
}

/// `tcp_health_check`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpProbe {
    pub(crate) send: Bytes,
    /// What must come, in this order. With nothing a connection is enough.
    pub(crate) receive: Vec<Bytes>,
}

/// `health_check_config` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndpointHealthCheck {
    pub(crate) port: Option<u16>,
    pub(crate) address: Option<IpAddr>,
    /// In the place of the check's own, if that asks for a host at all.
    pub(crate) hostname: Option<Name>,
    /// `disable_active_health_check`
    pub(crate) disabled: bool,
}
