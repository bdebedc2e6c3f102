//! Configuration in the proxy's own, validated types.
//!
//! Nothing behind this module sees a proto: `wire` turns Envoy's messages into these
//! types, or into an [`Error`] that names the field. Every type compares by value, so
//! that an update that changes nothing can be told.

mod access_log;
mod address;
mod bootstrap;
mod breakers;
mod buffer_limit;
mod cluster;
mod dns;
mod endpoint;
mod error;
mod format;
mod fraction;
mod hash_policy;
mod header;
mod header_match;
mod health_check;
mod http;
mod http_filter;
mod ip_range;
mod listener;
mod load_balancing;
mod local_reply;
mod outlier;
mod regex;
mod retry;
mod route;
mod string_match;
mod subsets;
mod substitution;
mod tls;
mod upgrades;
pub(crate) mod wire;

pub(crate) use access_log::{AccessLog, Compare, JsonValue, LogFilter, LogFormat, LogTarget};
pub(crate) use address::{Address, no_address};
pub(crate) use bootstrap::{AdsSource, Bootstrap, ConnectionLimits, Subscription};
pub(crate) use breakers::{Breakers, RetryBudget, RoutingPriority, Thresholds};
pub(crate) use buffer_limit::BufferLimit;
pub(crate) use cluster::{
    Cluster, Discovery, Http2Options, HttpProtocol, Transport, TransportMatch, Transports,
};
pub(crate) use dns::{DnsFamily, DnsLookup, DnsName, DnsResolver};
pub(crate) use endpoint::{
    AssignmentPolicy, Endpoint, EndpointHealth, Labels, LoadAssignment, Locality,
};
pub(crate) use error::{Error, Path};
pub(crate) use format::{
    AddressPart, Format, FormatPart, GrpcStatusFormat, HeaderKey, Headers, Operator, PathSource,
    Peer, Span, TimeFormat, TimePart, TlsField,
};
pub(crate) use fraction::Fraction;
pub(crate) use hash_policy::{HashCookie, HashPolicy, HashSource};
pub(crate) use header::{AppendAction, HeaderAddition, HeaderChanges, HeaderText};
pub(crate) use header_match::{HeaderField, HeaderMatch, HeaderValueMatch};
pub(crate) use health_check::{
    EndpointHealthCheck, GrpcProbe, HealthCheck, HttpProbe, Intervals, Probe, TcpProbe,
};
pub(crate) use http::{
    ClientCertDetails, ClientCertForwarding, ClientCertMode, CodecType, EscapedSlashes,
    Http1Options, HttpConnectionManager, KeyFormat, PathNormalisation, RouteSource, ServerHeader,
    StripPort, Underscores,
};
pub(crate) use http_filter::{
    AbortStatus, Buffer, CorsPolicy, Fault, FaultAbort, FaultDelay, FaultKind, FaultRate,
    FilterKind, FilterOverride, FilterOverrides, HeaderMutation, HealthCheckFilter,
    HealthCheckMode, HttpFilter, LocalRateLimit, Mutations, QueryMutation, TokenBucket,
};
pub(crate) use ip_range::contains;
pub(crate) use listener::{
    Backoff, ConnectionLimit, FilterChain, FilterChainMatch, Listener, Logged, NetworkFilter,
    ProxyProtocol, SourceType, TcpProxy,
};
pub(crate) use load_balancing::{
    HashFunction, Hashing, LbPolicy, LeastRequest, LoadBalancing, RingHash, SlowStart,
};
pub(crate) use local_reply::{LocalReplyConfig, ReplyFormat, ResponseMapper};
pub(crate) use outlier::{OutlierDetection, VolumeSettings};
pub(crate) use regex::Regex;
pub(crate) use retry::{RateLimitedBackOff, ResetFormat, ResetHeader, RetryOn, RetryPolicy};
pub(crate) use route::{
    Action, AttemptHeaders, ClusterName, Destination, Forward, GrpcTimeout, HostRewrite, Mirror,
    MirrorHost, PathMatch, QueryMatch, QueryValueMatch, Redirect, RedirectPath, RequireTls,
    Rewrite, Route, RouteMatch, RouteTable, StreamDuration, Target, VirtualHost, WeightedCluster,
};
pub(crate) use string_match::{StringMatch, StringPattern};
pub(crate) use subsets::{SubsetFallback, SubsetSelector, Subsets};
pub(crate) use substitution::{Substitution, Wrong};
pub(crate) use tls::{
    Certificate, CertificateSource, CommonTls, DownstreamTls, Roots, Secret, SecretConfig,
    SecretKey, SecretKind, SecretSource, UpstreamTls, Validation,
};
pub(crate) use upgrades::Upgrades;

/// The name of a resource, shared by all that refer to it.
pub(crate) type Name = std::sync::Arc<str>;
