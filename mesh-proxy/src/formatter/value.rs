//! Command operators and their values.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use mesh_tls::CertificateDetails;

use super::{Record, Request, time};
use crate::codec::grpc;
use crate::config::{
    AddressPart, Format, FormatPart, GrpcStatusFormat, HeaderKey, Headers, Operator, PathSource,
    Peer, Span, TlsField, no_address,
};
use crate::random;
use crate::transport::tls::ConnectionInfo;

static HOSTNAME: LazyLock<Box<str>> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().into()
});

/// What an operator wrote.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    Text,
    Number,
    /// Nothing: the value is not known.
    Missing,
}

/// Appends a text; what is not known is `missing`.
pub(crate) fn text(format: &Format, record: &Record<'_>, missing: &str, out: &mut Vec<u8>) {
    for part in &format.0 {
        match part {
            FormatPart::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
            FormatPart::Operator(operator, max) => {
                if value(operator, *max, record, out) == Wrote::Missing {
                    out.extend_from_slice(missing.as_bytes());
                }
            }
        }
    }
}

/// Appends the value of one operator, at most `max` bytes of it.
pub(crate) fn value(
    operator: &Operator,
    max: Option<usize>,
    record: &Record<'_>,
    out: &mut Vec<u8>,
) -> Wrote {
    let before = out.len();
    let wrote = whole_value(operator, record, out);
    if let Some(max) = max {
        out.truncate(before.saturating_add(max));
    }
    wrote
}

fn whole_value(operator: &Operator, record: &Record<'_>, out: &mut Vec<u8>) -> Wrote {
    match operator {
        Operator::StartTime(format) => time::write(format, record.start, out),
        Operator::EmitTime(format) => time::write(format, SystemTime::now(), out),
        Operator::Header(headers, first, second) => {
            let found = header(*headers, first, record)
                .or_else(|| second.as_ref().and_then(|key| header(*headers, key, record)));
            return bytes(found.as_deref(), out);
        }
        Operator::HeadersBytes(headers) => return number(size(*headers, record), out),
        Operator::QueryParameter(name) => return maybe(parameter(record, name), out),
        Operator::Query => return maybe(query(record), out),
        Operator::Path { with_query, source } => {
            return maybe(path(record, *with_query, *source), out);
        }
        Operator::Protocol => return maybe(protocol(record), out),
        Operator::UpstreamProtocol => return maybe(record.upstream_protocol, out),
        Operator::ResponseCode => return number(record.response_code.into(), out),
        Operator::ResponseCodeDetails => return maybe(record.response_code_details, out),
        Operator::ResponseFlags => joined(record.flags.names(), out),
        Operator::ResponseFlagsLong => joined(record.flags.long_names(), out),
        Operator::GrpcStatus(format) => return grpc_status(*format, record, out),
        Operator::BytesReceived => return number(record.bytes_received, out),
        Operator::BytesSent => return number(record.bytes_sent, out),
        Operator::Duration(span) => return milliseconds(duration(*span, record), out),
        Operator::Address(peer, part) => {
            return match pipe_of(*peer, record) {
                Some(name) => pipe(name, *part, out),
                None => address(peer_of(*peer, record), *part, out),
            };
        }
        Operator::UpstreamCluster => return maybe(record.upstream_cluster, out),
        Operator::Attempts => return number(record.attempts.into(), out),
        Operator::RouteName => return maybe(record.route_name, out),
        Operator::RequestedServerName => return maybe(record.server_name, out),
        Operator::Hostname => return maybe(Some(&HOSTNAME), out),
        Operator::LocalReplyBody => return bytes(Some(record.local_reply_body), out),
        Operator::DownstreamTls(field) => match record.downstream_tls {
            Some(info) => return tls(*field, info, out),
            None => return Wrote::Missing,
        },
        // In one word, as Envoy writes them.
        Operator::DownstreamTransportFailureReason => {
            return reason(record.downstream_failure, out);
        }
        Operator::UpstreamTransportFailureReason => return reason(record.upstream_failure, out),
        Operator::StreamId => {
            let id = record.request.and_then(|request| request.head.headers.get("x-request-id"));
            return bytes(id.map(|id| id.as_bytes()), out);
        }
        Operator::UniqueId => out.extend_from_slice(&random::uuid()),
        Operator::LogType => out.extend_from_slice(record.kind.name().as_bytes()),
        Operator::Never => return Wrote::Missing,
    }
    Wrote::Text
}

/// The value of a header; of several of one name the first.
fn header<'a>(headers: Headers, key: &HeaderKey, record: &Record<'a>) -> Option<Value<'a>> {
    if headers == Headers::Request {
        return request_header(record.request?, key).map(Value::Borrowed);
    }
    let (of_response, of_trailers) = (record.response_headers, record.response_trailers);
    let map = if headers == Headers::Response { of_response? } else { of_trailers? };
    match key {
        HeaderKey::Name(name) => map.get(name).map(|value| Value::Borrowed(value.as_bytes())),
        HeaderKey::Status if headers == Headers::Response => {
            Some(Value::Owned(record.response_status.to_string().into()))
        }
        _ => None,
    }
}

type Value<'a> = std::borrow::Cow<'a, [u8]>;

fn request_header<'a>(request: Request<'a>, key: &HeaderKey) -> Option<&'a [u8]> {
    let text = match key {
        HeaderKey::Method => request.head.method.as_str(),
        HeaderKey::Path => request.path(),
        HeaderKey::Scheme => request.scheme(),
        HeaderKey::Authority => return request.authority(),
        HeaderKey::Name(name) => return request.head.headers.get(name).map(|v| v.as_bytes()),
        HeaderKey::Status | HeaderKey::Nowhere => return None,
    };
    (!text.is_empty()).then_some(text.as_bytes())
}

/// Names and values, pseudo-headers too (Envoy's `byteSize`).
fn size(headers: Headers, record: &Record<'_>) -> u64 {
    let sum = |map: &HeaderMap| -> usize {
        map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
    };
    let size = match headers {
        Headers::Request => record.request.map_or(0, |request| {
            let target = request.head.method.as_str().len() + request.path().len();
            // Host is called :authority.
            let names = ":method:path:scheme:authority".len() - "host".len();
            sum(&request.head.headers) + target + request.scheme().len() + names
        }),
        Headers::Response => {
            record.response_headers.map_or(0, |headers| sum(headers) + ":status200".len())
        }
        Headers::Trailer => record.response_trailers.map_or(0, sum),
    };
    size as u64
}

fn query<'a>(record: &Record<'a>) -> Option<&'a str> {
    record.request?.head.uri.query()
}

/// The first value of a query parameter, as it is written.
fn parameter<'a>(record: &Record<'a>, name: &str) -> Option<&'a str> {
    let pairs = query(record)?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

fn protocol(record: &Record<'_>) -> Option<&'static str> {
    record.request.map(|request| request.protocol()).or(record.protocol)
}

fn path<'a>(record: &Record<'a>, with_query: bool, source: PathSource) -> Option<&'a str> {
    let request = record.request?;
    let original = request.head.headers.get("x-envoy-original-path");
    let original = original.and_then(|path| path.to_str().ok());
    let path = match source {
        PathSource::Original => original?,
        PathSource::Current => request.path(),
        PathSource::OriginalOrCurrent => original.unwrap_or(request.path()),
    };
    let path = if with_query { path } else { path.split('?').next().unwrap_or(path) };
    (!path.is_empty()).then_some(path)
}

fn grpc_status(format: GrpcStatusFormat, record: &Record<'_>, out: &mut Vec<u8>) -> Wrote {
    if !record.request.is_some_and(|request| grpc::is_grpc(&request.head.headers)) {
        return Wrote::Missing;
    }
    let Some(status) = record.grpc_status() else { return Wrote::Missing };
    let name = match format {
        GrpcStatusFormat::Number => return number(status, out),
        GrpcStatusFormat::Camel => grpc::name(status),
        GrpcStatusFormat::Snake => grpc::snake_name(status),
    };
    match name {
        Some(name) => maybe(Some(name), out),
        None => {
            number(status, out);
            Wrote::Text
        }
    }
}

fn duration(span: Span, record: &Record<'_>) -> Option<Duration> {
    match span {
        Span::Whole => Some(record.duration),
        Span::Request => record.request_received,
        Span::RequestSent => {
            // It goes on as it comes.
            Some(record.request_sent?.max(record.request_received?))
        }
        Span::Response => record.response_began,
        Span::ResponseSent => record.duration.checked_sub(record.response_began?),
    }
}

/// The Unix socket, where it stands for the address.
fn pipe_of<'r>(peer: Peer, record: &Record<'r>) -> Option<&'r str> {
    let name = record.downstream_pipe?;
    match peer {
        // Or it speaks for somebody else.
        Peer::DownstreamRemote => Some(name).filter(|_| record.downstream_remote == no_address()),
        Peer::DownstreamDirectRemote | Peer::DownstreamLocal => Some(name),
        Peer::UpstreamHost | Peer::UpstreamRemote | Peer::UpstreamLocal => None,
    }
}

/// Envoy: the port of none is an empty text.
fn pipe(name: &str, part: AddressPart, out: &mut Vec<u8>) -> Wrote {
    match part {
        AddressPart::Whole | AddressPart::WithoutPort => maybe(Some(name), out),
        AddressPart::Port => Wrote::Text,
    }
}

fn peer_of(peer: Peer, record: &Record<'_>) -> Option<SocketAddr> {
    match peer {
        Peer::DownstreamRemote => Some(record.downstream_remote),
        Peer::DownstreamDirectRemote => Some(record.downstream_direct),
        Peer::DownstreamLocal => Some(record.downstream_local),
        Peer::UpstreamHost => record.upstream_host,
        Peer::UpstreamRemote => record.upstream_local.and(record.upstream_host),
        Peer::UpstreamLocal => record.upstream_local,
    }
}

fn tls(field: TlsField, info: &ConnectionInfo, out: &mut Vec<u8>) -> Wrote {
    let of_peer = |text: fn(&CertificateDetails) -> String| info.peer().map(text);
    let of_own = |text: fn(&CertificateDetails) -> String| info.own().map(text);
    let text = match field {
        TlsField::Version => Some(info.version.to_owned()),
        TlsField::Cipher => Some(info.cipher.to_owned()),
        TlsField::PeerUriSan => of_peer(|peer| peer.names.uris.join(",")),
        TlsField::PeerDnsSan => of_peer(|peer| peer.names.dns.join(",")),
        TlsField::PeerSubject => of_peer(|peer| peer.subject.clone()),
        TlsField::PeerIssuer => of_peer(|peer| peer.issuer.clone()),
        TlsField::PeerSerial => of_peer(|peer| peer.serial.clone()),
        TlsField::PeerFingerprint => info.peer_fingerprint(),
        TlsField::LocalUriSan => of_own(|own| own.names.uris.join(",")),
        TlsField::LocalSubject => of_own(|own| own.subject.clone()),
    };
    maybe(text.as_deref().filter(|text| !text.is_empty()), out)
}

fn reason(reason: Option<&str>, out: &mut Vec<u8>) -> Wrote {
    maybe(reason.map(|reason| reason.replace(' ', "_")).as_deref(), out)
}

/// With commas between them; a dash for none.
fn joined(names: impl Iterator<Item = &'static str>, out: &mut Vec<u8>) {
    let before = out.len();
    for name in names {
        if out.len() > before {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    if out.len() == before {
        out.push(b'-');
    }
}

fn maybe(text: Option<&str>, out: &mut Vec<u8>) -> Wrote {
    bytes(text.map(str::as_bytes), out)
}

fn bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Wrote {
    let Some(bytes) = bytes else { return Wrote::Missing };
    out.extend_from_slice(bytes);
    Wrote::Text
}

fn number(number: u64, out: &mut Vec<u8>) -> Wrote {
    // Writing to memory does not fail.
    let _ = write!(out, "{number}");
    Wrote::Number
}

fn milliseconds(duration: Option<Duration>, out: &mut Vec<u8>) -> Wrote {
    let Some(duration) = duration else { return Wrote::Missing };
    number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), out)
}

fn address(address: Option<SocketAddr>, part: AddressPart, out: &mut Vec<u8>) -> Wrote {
    let Some(address) = address else { return Wrote::Missing };
    let _ = match part {
        AddressPart::Whole => write!(out, "{address}"),
        AddressPart::WithoutPort => write!(out, "{}", address.ip()),
        AddressPart::Port => return number(address.port().into(), out),
    };
    Wrote::Text
}
