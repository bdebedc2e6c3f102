//! Texts with Envoy's command operators: lines of access logs, values of headers.

use http::HeaderName;

/// A text in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Format(pub(crate) Vec<FormatPart>);

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FormatPart {
    Literal(String),
    /// A command operator such as `%RESPONSE_CODE%`, and how many bytes of its value are
    /// taken at most.
    Operator(Operator, Option<usize>),
}

/// The command operators that are honoured; another one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `START_TIME(format)`: when the request's first byte, or the connection, came.
    StartTime(TimeFormat),
    /// `EMIT_TIME(format)`: now.
    EmitTime(TimeFormat),
    /// `REQ(first?second)`, `RESP(…)` and `TRAILER(…)`.
    Header(Headers, HeaderKey, Option<HeaderKey>),
    /// `REQUEST_HEADERS_BYTES`, `RESPONSE_HEADERS_BYTES` and `RESPONSE_TRAILERS_BYTES`.
    HeadersBytes(Headers),
    /// `QUERY_PARAM(name)`.
    QueryParameter(String),
    /// `QUERY_PARAMS`: the whole query.
    Query,
    /// `PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)`.
    Path {
        with_query: bool,
        source: PathSource,
    },
    Protocol,
    UpstreamProtocol,
    ResponseCode,
    ResponseCodeDetails,
    ResponseFlags,
    ResponseFlagsLong,
    /// `GRPC_STATUS(…)`; of what is no gRPC there is none.
    GrpcStatus(GrpcStatusFormat),
    BytesReceived,
    BytesSent,
    /// Milliseconds between two moments.
    Duration(Span),
    Address(Peer, AddressPart),
    UpstreamCluster,
    /// `UPSTREAM_REQUEST_ATTEMPT_COUNT`.
    Attempts,
    RouteName,
    RequestedServerName,
    Hostname,
    /// LOCAL_REPLY_BODY: empty but where the body of an answer is made.
    LocalReplyBody,
    DownstreamTls(TlsField),
    DownstreamTransportFailureReason,
    UpstreamTransportFailureReason,
    /// `STREAM_ID`: the request's x-request-id.
    StreamId,
    /// `UNIQUE_ID`: a UUID that nobody else has.
    UniqueId,
    /// `ACCESS_LOG_TYPE`.
    LogType,
    /// What is known and never has a value here, such as dynamic metadata, which no filter
    /// sets.
    Never,
}

/// Whose headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headers {
    Request,
    Response,
    /// The response's trailers.
    Trailer,
}

/// Where a header's value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderKey {
    Method,
    Path,
    Authority,
    Scheme,
    /// Of a response.
    Status,
    Name(HeaderName),
    /// A pseudo-header that there is not.
    Nowhere,
}

/// Which path `PATH` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathSource {
    /// x-envoy-original-path.
    Original,
    /// The path as it is now.
    Current,
    /// The first, or without it the second.
    OriginalOrCurrent,
}

/// How a gRPC status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrpcStatusFormat {
    /// "InvalidArgument".
    Camel,
    /// "INVALID_ARGUMENT".
    Snake,
    Number,
}

/// From the request's first byte to one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// `DURATION`: the last byte of the response.
    Whole,
    /// `REQUEST_DURATION`: the last byte of the request from downstream.
    Request,
    /// `REQUEST_TX_DURATION`: the last byte of the request to the upstream.
    RequestSent,
    /// `RESPONSE_DURATION`: the first byte of the response from the upstream.
    Response,
    /// `RESPONSE_TX_DURATION`: from the response's first byte from the upstream to its last
    /// one downstream.
    ResponseSent,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    DownstreamRemote,
    /// The same, or the proxy before this one.
    DownstreamDirectRemote,
    DownstreamLocal,
    /// The endpoint that was chosen.
    UpstreamHost,
    /// The same, once there is a connection.
    UpstreamRemote,
    UpstreamLocal,
}

/// What of an address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressPart {
    Whole,
    WithoutPort,
    Port,
}

/// A point in time in pieces; empty stands for RFC 3339 in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeFormat(pub(crate) Vec<TimePart>);

/// A piece of a point in time, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimePart {
    Literal(String),
    Year,
    Month,
    Day,
    /// With a blank before one digit.
    PaddedDay,
    DayOfYear,
    Hour,
    Minute,
    Second,
    WeekdayName {
        short: bool,
    },
    MonthName {
        short: bool,
    },
    /// Seconds since 1970.
    Epoch,
    /// That many digits of the second's fraction.
    Fraction(u32),
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
