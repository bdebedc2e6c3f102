//! The HTTP connection manager.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::ip_range::contains;
use super::{AccessLog, Http2Options, HttpFilter, LocalReplyConfig, Name, RouteTable, Upgrades};

/// Envoy's `HttpConnectionManager`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpConnectionManager {
    pub(crate) stat_prefix: Name,
    pub(crate) codec: CodecType,
    pub(crate) routes: RouteSource,
    /// In order; behind the last one is the router.
    pub(crate) http_filters: Vec<HttpFilter>,
    /// `upgrade_configs`: all others are refused.
    pub(crate) upgrades: Upgrades,
    /// `common_http_protocol_options.idle_timeout`: an idle connection is closed after
    /// this long. `None`: never. Envoy's default is one hour.
    pub(crate) idle_timeout: Option<Duration>,
    /// `stream_idle_timeout`; Envoy's default is five minutes, 0 is `None`.
    pub(crate) stream_idle_timeout: Option<Duration>,
    /// `request_headers_timeout`: for the whole request head to arrive, from its first
    /// byte. `None` by default.
    pub(crate) request_headers_timeout: Option<Duration>,
    /// `request_timeout`: for the whole request to arrive. `None` by default.
    pub(crate) request_timeout: Option<Duration>,
    /// `drain_timeout`: how much longer than `idle_timeout` a client has to answer the first
    /// of the two GOAWAYs. The codec sends the second one after that answer (a ping's), not
    /// after this time as Envoy does. Envoy's default is five seconds.
    pub(crate) drain_timeout: Duration,
    /// `server_name`; Envoy's default is "envoy".
    pub(crate) server_name: Name,
    pub(crate) server_header: ServerHeader,
    /// `use_remote_address`: append the peer to x-forwarded-for and set what an edge sets.
    pub(crate) use_remote_address: bool,
    /// `xff_num_trusted_hops`: how many proxies before this one are believed.
    pub(crate) xff_trusted_hops: u32,
    /// `internal_address_config.cidr_ranges`: who may set what the proxies of a mesh say to
    /// each other. Nobody by default.
    pub(crate) internal_addresses: Vec<(IpAddr, u8)>,
    /// `skip_xff_append`.
    pub(crate) skip_xff_append: bool,
    /// `append_x_forwarded_port`.
    pub(crate) append_forwarded_port: bool,
    /// `scheme_header_transformation.scheme_to_overwrite`: "http" or "https".
    pub(crate) scheme: Option<&'static str>,
    /// `via`: appended to the header of requests and responses.
    pub(crate) via: Option<HeaderValue>,
    /// `proxy_100_continue`: upstreams say whether a request may go on.
    pub(crate) proxies_continue: bool,
    pub(crate) path: PathNormalisation,
    pub(crate) strip_port: StripPort,
    /// `strip_trailing_host_dot`.
    pub(crate) strip_host_dot: bool,
    pub(crate) underscores: Underscores,
    /// `common_http_protocol_options.max_stream_duration`.
    pub(crate) max_stream_duration: Option<Duration>,
    /// `common_http_protocol_options.max_connection_duration`.
    pub(crate) max_connection_duration: Option<Duration>,
    /// `max_connection_duration_jitter`: the most that is added, as a share of it.
    pub(crate) max_connection_duration_jitter: f64,
    /// `http1_safe_max_connection_duration`: the connection ends with a response alone.
    pub(crate) safe_max_connection_duration: bool,
    /// `common_http_protocol_options.max_requests_per_connection`.
    pub(crate) max_requests_per_connection: Option<u32>,
    /// `generate_request_id`, true by default.
    pub(crate) generate_request_id: bool,
    /// `preserve_external_request_id`.
    pub(crate) preserve_external_request_id: bool,
    /// `always_set_request_id_in_response`.
    pub(crate) request_id_in_response: bool,
    pub(crate) client_cert: ClientCertForwarding,
    /// `local_reply_config`
    pub(crate) local_replies: Option<Arc<LocalReplyConfig>>,
    pub(crate) access_logs: Vec<Arc<AccessLog>>,
    /// `max_request_headers_kb` in bytes; Envoy's default is 60 KiB.
    pub(crate) max_headers_size: usize,
    /// `common_http_protocol_options.max_headers_count`; Envoy's default is 100.
    pub(crate) max_headers_count: usize,
    /// `delayed_close_timeout`; Envoy's default is one second, 0 is `None`.
    pub(crate) delayed_close_timeout: Option<Duration>,
    /// Of the HTTP/1 connections of clients.
    pub(crate) http1: Http1Options,
    /// Of the HTTP/2 connections of clients.
    pub(crate) http2: Http2Options,
    /// `rds.config_source.initial_fetch_timeout`: how long the listener waits for its
    /// first route table before it serves without. `None`: for ever. Envoy's default is
    /// 15 seconds.
    pub(crate) rds_initial_fetch_timeout: Option<Duration>,
}

impl HttpConnectionManager {
    /// Whether it is one of the mesh's own addresses.
    pub(crate) fn is_internal(&self, address: IpAddr) -> bool {
        self.internal_addresses.iter().any(|range| contains(*range, address))
    }
}

/// `server_header_transformation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerHeader {
    #[default]
    Overwrite,
    AppendIfAbsent,
    /// The upstream's, and none where it sends none.
    PassThrough,
}

/// What is done to paths before anybody decides by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathNormalisation {
    pub(crate) escaped_slashes: EscapedSlashes,
    /// `normalize_path`.
    pub(crate) normalize: bool,
    /// `merge_slashes`.
    pub(crate) merge_slashes: bool,
}

/// `path_with_escaped_slashes_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EscapedSlashes {
    #[default]
    Keep,
    Reject,
    UnescapeAndRedirect,
    UnescapeAndForward,
}

/// `strip_port_mode`, and `strip_matching_host_port`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StripPort {
    #[default]
    Never,
    /// The listener's own.
    Matching,
    Any,
}

/// `headers_with_underscores_action`: of headers that some take for others with dashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Underscores {
    #[default]
    Allow,
    Reject,
    Drop,
}

/// What becomes of x-forwarded-client-cert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientCertForwarding {
    pub(crate) mode: ClientCertMode,
    pub(crate) details: ClientCertDetails,
}

/// `forward_client_cert_details`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientCertMode {
    #[default]
    Sanitize,
    /// As it came, on mutual TLS.
    ForwardOnly,
    /// With this client's details behind what came, on mutual TLS.
    AppendForward,
    /// This client's details alone, on mutual TLS.
    SanitizeSet,
    /// As it came.
    AlwaysForwardOnly,
}

/// `set_current_client_cert_details`: what is told of this client besides the proxy's own
/// URI and the certificate's hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientCertDetails {
    pub(crate) subject: bool,
    pub(crate) uri: bool,
    pub(crate) dns: bool,
}

/// `codec_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodecType {
    /// HTTP/2 when the connection opens with its preface, else HTTP/1.
    Auto,
    Http1,
    Http2,
}

/// Where the route table comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RouteSource {
    /// `route_config`.
    Inline(Arc<RouteTable>),
    /// `rds.route_config_name`, by ADS. Taken anew for each request.
    Rds(Name),
}

/// Envoy's `Http1ProtocolOptions`, of a connection manager or of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http1Options {
    /// `allow_absolute_url: false`. Of clients alone.
    pub(crate) refuse_absolute_url: bool,
    /// `accept_http_10`; others are answered 426. Of clients alone.
    pub(crate) accept_http_10: bool,
    /// `default_host_for_http_10`, which needs none. Of clients alone.
    pub(crate) default_host_for_http_10: Option<HeaderValue>,
    /// `header_key_format`: of what the proxy writes.
    pub(crate) key_format: KeyFormat,
    /// `enable_trailers`: they are dropped otherwise.
    pub(crate) enable_trailers: bool,
    /// `allow_chunked_length`: a length beside chunks is removed rather than refused.
    pub(crate) allow_chunked_length: bool,
    /// `send_fully_qualified_url`. To upstreams alone.
    pub(crate) send_fully_qualified_url: bool,
    /// `allow_custom_methods`: those that nobody has registered. Of clients alone.
    pub(crate) allow_custom_methods: bool,
}

/// How header names are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyFormat {
    #[default]
    Lower,
    /// `proper_case_words`
    ProperWords,
    /// `stateful_formatter`, `PreserveCaseFormatterConfig`: as they came, if who received
    /// them keeps it too.
    Preserve {
        /// `formatter_type_on_envoy_headers: PROPER_CASE`: those that nobody sent.
        proper_others: bool,
        /// `forward_reason_phrase`
        reason: bool,
    },
}
