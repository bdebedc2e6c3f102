//! Access logs.

/// One log of a listener or a connection manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLog {
    pub(crate) target: LogTarget,
    pub(crate) format: LogFormat,
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogTarget {
    Stdout,
    Stderr,
    File(std::path::PathBuf),
}

/// What a line holds: text, and Envoy's command operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Envoy's default format or `text_format_source.inline_string`.
    Text(Vec<LogPart>),
    /// `json_format`: keys in order, each with its parts.
    Json(Vec<(String, Vec<LogPart>)>),
}

/// A piece of a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogPart {
    Literal(String),
    /// A command operator such as `%RESPONSE_CODE%`.
    Operator(LogOperator),
}

/// The command operators that are honoured; another one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogOperator {
    StartTime,
    /// `REQ(first?second):max`.
    RequestHeader {
        name: String,
        alternative: Option<String>,
        max: Option<usize>,
    },
    ResponseHeader {
        name: String,
        alternative: Option<String>,
        max: Option<usize>,
    },
    Protocol,
    ResponseCode,
    ResponseCodeDetails,
    ResponseFlags,
    BytesReceived,
    BytesSent,
    /// Milliseconds from the first byte of the request to the last of the response.
    Duration,
    UpstreamHost,
    UpstreamCluster,
    DownstreamRemoteAddress,
    DownstreamRemoteAddressWithoutPort,
    DownstreamLocalAddress,
    UpstreamLocalAddress,
    RouteName,
    RequestedServerName,
    Hostname,
    DownstreamTls(TlsField),
    DownstreamTransportFailureReason,
    UpstreamTransportFailureReason,
}

/// What `DOWNSTREAM_TLS_…`, `DOWNSTREAM_PEER_…` and `DOWNSTREAM_LOCAL_…` tell of a client's
/// TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsField {
    Version,
    Cipher,
    PeerUriSan,
    PeerDnsSan,
    PeerSubject,
    PeerIssuer,
    PeerSerial,
    /// SHA-256 of the certificate.
    PeerFingerprint,
    LocalUriSan,
    LocalSubject,
}
