//! Clusters and their endpoints.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AssignmentPolicy, Breakers, BufferLimit, DnsLookup, DnsName, HealthCheck, Http1Options, Labels,
    LoadAssignment, LoadBalancing, Name, OutlierDetection, SecretConfig, UpstreamTls,
};

/// Envoy's `Cluster`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) name: Name,
    /// `alt_stat_name`, or the name.
    pub(crate) stat_name: Name,
    pub(crate) discovery: Discovery,
    pub(crate) lb: LoadBalancing,
    /// `connect_timeout`; Envoy's default is five seconds.
    pub(crate) connect_timeout: Duration,
    pub(crate) protocol: HttpProtocol,
    /// `common_http_protocol_options.idle_timeout`: an unused connection is closed after
    /// this long; Envoy's default is one hour.
    pub(crate) idle_timeout: Option<Duration>,
    /// `common_http_protocol_options.max_connection_duration`, and how much longer it may be
    /// by chance, as a part of it.
    pub(crate) max_connection_duration: Option<(Duration, f64)>,
    /// `max_requests_per_connection`.
    pub(crate) max_requests_per_connection: Option<u32>,
    pub(crate) breakers: Breakers,
    /// `health_checks`, of which there is one at most.
    pub(crate) health_check: Option<Arc<HealthCheck>>,
    /// `ignore_health_on_host_removal`: an endpoint that discovery removes is gone at once;
    /// otherwise it stays for as long as its health checks succeed.
    pub(crate) ignore_health_on_removal: bool,
    /// `outlier_detection`
    pub(crate) outlier: Option<Arc<OutlierDetection>>,
    /// `upstream_bind_config`: `source_address` and `extra_source_addresses`, at most one of
    /// each family.
    pub(crate) bind_addresses: Vec<IpAddr>,
    /// Of the HTTP/1 connections to the endpoints.
    pub(crate) http1: Arc<Http1Options>,
    /// `max_response_headers_kb` in bytes; Envoy's default is 60 KiB.
    pub(crate) max_headers_size: usize,
    /// `max_headers_count` of a response; Envoy's default is 100.
    pub(crate) max_headers_count: usize,
    /// Of the HTTP/2 connections to the endpoints.
    pub(crate) http2: Http2Options,
    /// Of the connections to the endpoints.
    pub(crate) buffer_limit: BufferLimit,
    /// `eds_config.initial_fetch_timeout`: how long the cluster waits for its first
    /// endpoints before it counts as there without any. `None`: for ever. Envoy's default
    /// is 15 seconds.
    pub(crate) initial_fetch_timeout: Option<Duration>,
    pub(crate) transports: Transports,
}

impl Cluster {
    /// Whether it has addresses that need no control plane to be known.
    pub(crate) fn is_grpc_target(&self) -> bool {
        match &self.discovery {
            Discovery::Static(assignment) => !assignment.endpoints.is_empty(),
            Discovery::Dns { names, .. } => !names.is_empty(),
            Discovery::Pipe(_) => true,
            Discovery::Eds { .. } | Discovery::OriginalDst => false,
        }
    }

    /// One that asks for nothing but its endpoints.
    #[cfg(test)]
    pub(crate) fn test(name: &str, discovery: Discovery) -> Self {
        Self {
            name: name.into(),
            stat_name: name.into(),
            discovery,
            lb: LoadBalancing::by(super::LbPolicy::RoundRobin),
            connect_timeout: Duration::from_secs(5),
            protocol: HttpProtocol::Http1,
            idle_timeout: None,
            max_connection_duration: None,
            max_requests_per_connection: None,
            breakers: Breakers::default(),
            health_check: None,
            ignore_health_on_removal: false,
            outlier: None,
            bind_addresses: Vec::new(),
            http1: Arc::default(),
            max_headers_size: 60 * 1024,
            max_headers_count: 100,
            http2: Http2Options::default(),
            buffer_limit: BufferLimit::default(),
            initial_fetch_timeout: None,
            transports: Transports::default(),
        }
    }
}

/// `http2_protocol_options`; what is `None` is left to the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Http2Options {
    pub(crate) max_concurrent_streams: Option<u32>,
    /// Bytes, 65535 or more.
    pub(crate) initial_stream_window_size: Option<u32>,
    /// Bytes, 65535 or more.
    pub(crate) initial_connection_window_size: Option<u32>,
    /// `allow_connect`: other protocols inside streams (RFC 8441), where upgrades are on.
    pub(crate) allow_connect: bool,
    /// `stream_reset_burst`: how many streams a client may reset at once; Envoy's default is
    /// 1000.
    pub(crate) stream_reset_burst: u64,
    /// `stream_reset_rate`: how many more in a second; Envoy's default is 33.
    pub(crate) stream_reset_rate: u64,
}

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            max_concurrent_streams: None,
            initial_stream_window_size: None,
            initial_connection_window_size: None,
            allow_connect: false,
            stream_reset_burst: 1000,
            stream_reset_rate: 33,
        }
    }
}

/// Where the endpoints come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Discovery {
    /// STATIC.
    Static(Arc<LoadAssignment>),
    /// STRICT_DNS: all addresses of all names; or LOGICAL_DNS: one of one name.
    Dns { names: Vec<DnsName>, policy: AssignmentPolicy, lookup: Box<DnsLookup> },
    /// EDS by ADS, under this name (`service_name`, or the cluster's).
    Eds { service_name: Name },
    /// ORIGINAL_DST: the connection's own original destination.
    OriginalDst,
    /// STATIC with a Unix socket as its one endpoint: for gRPC to a control plane alone, no
    /// request is routed there.
    Pipe(PathBuf),
}

/// How the upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpProtocol {
    Http1,
    Http2,
    /// `use_downstream_protocol_config`.
    Downstream,
}

/// How the endpoints of a cluster are spoken to: the first match that fits an endpoint, else
/// the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transports {
    /// `transport_socket`
    pub(crate) default: Transport,
    /// `transport_socket_matches`
    pub(crate) matches: Vec<TransportMatch>,
}

/// Envoy's transport socket towards an upstream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Transport {
    #[default]
    RawBuffer,
    Tls(Arc<UpstreamTls>),
}

/// Envoy's `TransportSocketMatch`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransportMatch {
    pub(crate) name: Name,
    /// All of them must be among the endpoint's.
    pub(crate) labels: Labels,
    pub(crate) transport: Transport,
}

impl Transports {
    /// All that may be in use.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Transport> {
        self.matches.iter().map(|found| &found.transport).chain([&self.default])
    }

    /// The secrets that they need.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretConfig> {
        let contexts = self.all().filter_map(|transport| match transport {
            Transport::Tls(tls) => Some(tls),
            Transport::RawBuffer => None,
        });
        contexts.flat_map(|tls| tls.common.secrets())
    }
}
