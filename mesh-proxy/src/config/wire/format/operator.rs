//! Command operators by name.

use super::time::time_format;
use crate::config::{
    AddressPart, Error, FormatPart, GrpcStatusFormat, HeaderKey, Headers, Operator, Path,
    PathSource, Peer, Span, TlsField,
};

/// A command: `NAME`, `NAME(argument)`, `NAME:length` or `NAME(argument):length`.
struct Command<'a> {
    text: &'a str,
    name: &'a str,
    argument: Option<&'a str>,
    max: Option<usize>,
}

/// What is between two percent signs.
pub(super) fn part(path: &Path, text: &str) -> Result<FormatPart, Error> {
    let command = command(path, text)?;
    if command.name == "ENVIRONMENT" {
        return environment(path, &command);
    }
    let operator = match with_argument(path, &command)? {
        Some(operator) => operator,
        None => plain(command.name).ok_or_else(|| unknown(path, text))?,
    };
    let found = |what: &str| Err(path.error(format!("found %{text}%: it takes no {what}")));
    if command.argument.is_some() && plain(command.name).is_some_and(|plain| plain == operator) {
        return found("argument");
    }
    if command.max.is_some() && !takes_length(&operator) {
        return found("length");
    }
    Ok(FormatPart::Operator(operator, command.max))
}

fn command<'a>(path: &Path, text: &'a str) -> Result<Command<'a>, Error> {
    let malformed = || {
        path.error(format!(
            "found %{text}%, expected %NAME%, %NAME(ARGUMENT)% or %NAME(ARGUMENT):LENGTH%"
        ))
    };
    let (name, argument, length) = match text.split_once('(') {
        Some((name, rest)) => {
            let (argument, after) = rest.rsplit_once(')').ok_or_else(malformed)?;
            (name, Some(argument), after)
        }
        None => match text.find(':') {
            Some(at) => (&text[..at], None, &text[at..]),
            None => (text, None, ""),
        },
    };
    let max = match length.strip_prefix(':') {
        Some(number) => Some(number.parse().map_err(|_| malformed())?),
        None if length.is_empty() => None,
        None => return Err(malformed()),
    };
    Ok(Command { text, name, argument, max })
}

/// Those that have an argument, or may have one.
fn with_argument(path: &Path, command: &Command<'_>) -> Result<Option<Operator>, Error> {
    let argument = command.argument.unwrap_or_default();
    Ok(Some(match command.name {
        "REQ" | "REQUEST_HEADER" => header(path, command, Headers::Request)?,
        "RESP" | "RESPONSE_HEADER" => header(path, command, Headers::Response)?,
        "TRAILER" | "RESPONSE_TRAILER" => header(path, command, Headers::Trailer)?,
        "START_TIME" => Operator::StartTime(time_format(path, command.text, argument)?),
        "EMIT_TIME" => Operator::EmitTime(time_format(path, command.text, argument)?),
        "QUERY_PARAM" if !argument.is_empty() => Operator::QueryParameter(argument.to_owned()),
        "PATH" => path_operator(path, command, argument)?,
        "GRPC_STATUS" => Operator::GrpcStatus(grpc_status(path, command, argument)?),
        // No filter here sets any.
        "DYNAMIC_METADATA" if !argument.is_empty() => Operator::Never,
        _ => return Ok(None),
    }))
}

/// Those without an argument.
fn plain(name: &str) -> Option<Operator> {
    Some(match name {
        "PROTOCOL" => Operator::Protocol,
        "UPSTREAM_PROTOCOL" => Operator::UpstreamProtocol,
        "RESPONSE_CODE" => Operator::ResponseCode,
        "RESPONSE_CODE_DETAILS" => Operator::ResponseCodeDetails,
        "RESPONSE_FLAGS" => Operator::ResponseFlags,
        "RESPONSE_FLAGS_LONG" => Operator::ResponseFlagsLong,
        "GRPC_STATUS_NUMBER" => Operator::GrpcStatus(GrpcStatusFormat::Number),
        "BYTES_RECEIVED" => Operator::BytesReceived,
        "BYTES_SENT" => Operator::BytesSent,
        "REQUEST_HEADERS_BYTES" => Operator::HeadersBytes(Headers::Request),
        "RESPONSE_HEADERS_BYTES" => Operator::HeadersBytes(Headers::Response),
        "RESPONSE_TRAILERS_BYTES" => Operator::HeadersBytes(Headers::Trailer),
        "QUERY_PARAMS" => Operator::Query,
        "DURATION" => Operator::Duration(Span::Whole),
        "REQUEST_DURATION" => Operator::Duration(Span::Request),
        "REQUEST_TX_DURATION" => Operator::Duration(Span::RequestSent),
        "RESPONSE_DURATION" => Operator::Duration(Span::Response),
        "RESPONSE_TX_DURATION" => Operator::Duration(Span::ResponseSent),
        "UPSTREAM_HOST" => Operator::Address(Peer::UpstreamHost, AddressPart::Whole),
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Operator::UpstreamCluster,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Operator::Attempts,
        "ROUTE_NAME" => Operator::RouteName,
        "REQUESTED_SERVER_NAME" => Operator::RequestedServerName,
        "HOSTNAME" => Operator::Hostname,
        "LOCAL_REPLY_BODY" => Operator::LocalReplyBody,
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON" => Operator::DownstreamTransportFailureReason,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Operator::UpstreamTransportFailureReason,
        "STREAM_ID" => Operator::StreamId,
        "UNIQUE_ID" => Operator::UniqueId,
        "ACCESS_LOG_TYPE" => Operator::LogType,
        // They tell of network filters, virtual clusters and a tracer that are not there.
        "CONNECTION_TERMINATION_DETAILS" | "VIRTUAL_CLUSTER_NAME" | "TRACE_ID" => Operator::Never,
        name => return address(name).or_else(|| tls_field(name).map(Operator::DownstreamTls)),
    })
}

/// `…_ADDRESS`, `…_ADDRESS_WITHOUT_PORT` and `…_PORT`.
fn address(name: &str) -> Option<Operator> {
    let parts = [
        ("_ADDRESS_WITHOUT_PORT", AddressPart::WithoutPort),
        ("_ADDRESS", AddressPart::Whole),
        ("_PORT", AddressPart::Port),
    ];
    let (peer, part) =
        parts.into_iter().find_map(|(suffix, part)| Some((name.strip_suffix(suffix)?, part)))?;
    let peer = match peer {
        "DOWNSTREAM_REMOTE" => Peer::DownstreamRemote,
        "DOWNSTREAM_DIRECT_REMOTE" => Peer::DownstreamDirectRemote,
        "DOWNSTREAM_LOCAL" | "DOWNSTREAM_DIRECT_LOCAL" => Peer::DownstreamLocal,
        "UPSTREAM_REMOTE" => Peer::UpstreamRemote,
        "UPSTREAM_LOCAL" => Peer::UpstreamLocal,
        _ => return None,
    };
    Some(Operator::Address(peer, part))
}

fn tls_field(name: &str) -> Option<TlsField> {
    Some(match name.strip_prefix("DOWNSTREAM_")? {
        "TLS_VERSION" => TlsField::Version,
        "TLS_CIPHER" => TlsField::Cipher,
        "PEER_URI_SAN" => TlsField::PeerUriSan,
        "PEER_DNS_SAN" => TlsField::PeerDnsSan,
        "PEER_SUBJECT" => TlsField::PeerSubject,
        "PEER_ISSUER" => TlsField::PeerIssuer,
        "PEER_SERIAL" => TlsField::PeerSerial,
        "PEER_FINGERPRINT_256" => TlsField::PeerFingerprint,
        "LOCAL_URI_SAN" => TlsField::LocalUriSan,
        "LOCAL_SUBJECT" => TlsField::LocalSubject,
        _ => return None,
    })
}

/// `first?second`.
fn header(path: &Path, command: &Command<'_>, headers: Headers) -> Result<Operator, Error> {
    let argument = command.argument.unwrap_or_default();
    let (first, second) = match argument.split_once('?') {
        Some((first, second)) => (first, Some(second)),
        None => (argument, None),
    };
    let key = |name| {
        header_key(name).ok_or_else(|| {
            path.error(format!("found %{}%, expected the name of a header", command.text))
        })
    };
    Ok(Operator::Header(headers, key(first)?, second.map(key).transpose()?))
}

fn header_key(name: &str) -> Option<HeaderKey> {
    Some(match name.to_ascii_lowercase().as_str() {
        ":method" => HeaderKey::Method,
        ":path" => HeaderKey::Path,
        ":authority" | "host" => HeaderKey::Authority,
        ":scheme" => HeaderKey::Scheme,
        ":status" => HeaderKey::Status,
        pseudo if pseudo.starts_with(':') => HeaderKey::Nowhere,
        name => HeaderKey::Name(name.parse().ok()?),
    })
}

fn path_operator(path: &Path, command: &Command<'_>, argument: &str) -> Result<Operator, Error> {
    let (query, source) = argument.split_once(':').unwrap_or((argument, ""));
    let with_query = match query {
        "" | "WQ" => true,
        "NQ" => false,
        _ => return Err(expected(path, command, "WQ or NQ, and ORIG, PATH or ORIG_OR_PATH")),
    };
    let source = match source {
        "ORIG" => PathSource::Original,
        "PATH" => PathSource::Current,
        "" | "ORIG_OR_PATH" => PathSource::OriginalOrCurrent,
        _ => return Err(expected(path, command, "ORIG, PATH or ORIG_OR_PATH")),
    };
    Ok(Operator::Path { with_query, source })
}

fn grpc_status(
    path: &Path,
    command: &Command<'_>,
    argument: &str,
) -> Result<GrpcStatusFormat, Error> {
    match argument {
        "" | "CAMEL_STRING" => Ok(GrpcStatusFormat::Camel),
        "SNAKE_STRING" => Ok(GrpcStatusFormat::Snake),
        "NUMBER" => Ok(GrpcStatusFormat::Number),
        _ => Err(expected(path, command, "CAMEL_STRING, SNAKE_STRING or NUMBER")),
    }
}

/// `ENVIRONMENT(name)`, which does not change while the process lives.
fn environment(path: &Path, command: &Command<'_>) -> Result<FormatPart, Error> {
    let Some(name) = command.argument.filter(|name| !name.is_empty()) else {
        return Err(expected(path, command, "the name of an environment variable"));
    };
    Ok(match std::env::var(name) {
        Ok(value) if !value.is_empty() => {
            let taken = value.chars().take(command.max.unwrap_or(usize::MAX));
            FormatPart::Literal(taken.collect())
        }
        // Envoy: a text like any other.
        _ => FormatPart::Literal("-".to_owned()),
    })
}

/// Whether `:length` may follow, as in Envoy.
fn takes_length(operator: &Operator) -> bool {
    matches!(
        operator,
        Operator::Header(..)
            | Operator::QueryParameter(_)
            | Operator::Query
            | Operator::Path { .. }
            | Operator::Never
    )
}

fn expected(path: &Path, command: &Command<'_>, what: &str) -> Error {
    path.error(format!("found %{}%, expected {what}", command.text))
}

fn unknown(path: &Path, text: &str) -> Error {
    path.error(format!(
        "found %{text}%, expected a command operator that is honoured: START_TIME, EMIT_TIME, \
         REQ(), RESP(), TRAILER(), REQUEST_HEADERS_BYTES, RESPONSE_HEADERS_BYTES, \
         RESPONSE_TRAILERS_BYTES, PATH(), QUERY_PARAM(), QUERY_PARAMS, PROTOCOL, \
         UPSTREAM_PROTOCOL, RESPONSE_CODE, RESPONSE_CODE_DETAILS, RESPONSE_FLAGS, \
         RESPONSE_FLAGS_LONG, GRPC_STATUS, GRPC_STATUS_NUMBER, BYTES_RECEIVED, BYTES_SENT, \
         DURATION, REQUEST_DURATION, REQUEST_TX_DURATION, RESPONSE_DURATION, \
         RESPONSE_TX_DURATION, UPSTREAM_HOST, UPSTREAM_CLUSTER, UPSTREAM_REQUEST_ATTEMPT_COUNT, \
         UPSTREAM_REMOTE_…, UPSTREAM_LOCAL_…, DOWNSTREAM_REMOTE_…, DOWNSTREAM_DIRECT_REMOTE_…, \
         DOWNSTREAM_LOCAL_… and DOWNSTREAM_DIRECT_LOCAL_… with ADDRESS, ADDRESS_WITHOUT_PORT or \
         PORT, DOWNSTREAM_TLS_VERSION, DOWNSTREAM_TLS_CIPHER, DOWNSTREAM_PEER_URI_SAN, \
         DOWNSTREAM_PEER_DNS_SAN, DOWNSTREAM_PEER_SUBJECT, DOWNSTREAM_PEER_ISSUER, \
         DOWNSTREAM_PEER_SERIAL, DOWNSTREAM_PEER_FINGERPRINT_256, DOWNSTREAM_LOCAL_URI_SAN, \
         DOWNSTREAM_LOCAL_SUBJECT, DOWNSTREAM_TRANSPORT_FAILURE_REASON, \
         UPSTREAM_TRANSPORT_FAILURE_REASON, ROUTE_NAME, REQUESTED_SERVER_NAME, HOSTNAME, \
         ENVIRONMENT(), STREAM_ID, UNIQUE_ID, ACCESS_LOG_TYPE"
    ))
}
