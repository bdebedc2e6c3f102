//! The HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use super::{AccessLog, Http2Options, Name, RouteTable};

/// Envoy's `HttpConnectionManager`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpConnectionManager {
    pub(crate) stat_prefix: Name,
    pub(crate) codec: CodecType,
    pub(crate) routes: RouteSource,
    /// In order; the last one is the router.
    pub(crate) http_filters: Vec<HttpFilter>,
    /// `upgrade_configs` has an enabled "websocket".
    pub(crate) websocket: bool,
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
    /// `server_header_transformation`: PASS_THROUGH keeps the upstream's.
    pub(crate) pass_server_header: bool,
    /// `use_remote_address`: append the peer to x-forwarded-for and set what an edge sets.
    pub(crate) use_remote_address: bool,
    /// `skip_xff_append`.
    pub(crate) skip_xff_append: bool,
    /// `generate_request_id`, true by default.
    pub(crate) generate_request_id: bool,
    /// `preserve_external_request_id`.
    pub(crate) preserve_external_request_id: bool,
    pub(crate) client_cert: ClientCertForwarding,
    pub(crate) access_logs: Vec<Arc<AccessLog>>,
    /// Of the HTTP/2 connections of clients.
    pub(crate) http2: Http2Options,
    /// `rds.config_source.initial_fetch_timeout`: how long the listener waits for its
    /// first route table before it serves without. `None`: for ever. Envoy's default is
    /// 15 seconds.
    pub(crate) rds_initial_fetch_timeout: Option<Duration>,
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

/// An HTTP filter and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpFilter {
    Router,
}
