//! A record as a line.

use std::io::Write;
use std::net::SocketAddr;

use mesh_tls::CertificateDetails;

use super::{Record, time};
use crate::config::{LogFormat, LogOperator, LogPart, TlsField};
use crate::transport::tls::ConnectionInfo;

/// What an operator wrote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Text,
    Number,
    /// Nothing: the value is not known.
    Missing,
}

/// Appends the record's line. A text format says itself where its line ends; a JSON line
/// ends with a newline.
pub(super) fn line(format: &LogFormat, record: &Record<'_>, host: &str, out: &mut Vec<u8>) {
    match format {
        LogFormat::Text(parts) => text(parts, record, host, out),
        LogFormat::Json(fields) => json(fields, record, host, out),
    }
}

/// Envoy writes a dash for what is not known.
fn text(parts: &[LogPart], record: &Record<'_>, host: &str, out: &mut Vec<u8>) {
    for part in parts {
        match part {
            LogPart::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
            LogPart::Operator(operator) => {
                if value(operator, record, host, out) == Wrote::Missing {
                    out.push(b'-');
                }
            }
        }
    }
}

/// A field of one operator keeps the operator's type, and is null when the value is not
/// known; a field of several parts is a string.
fn json(fields: &[(String, Vec<LogPart>)], record: &Record<'_>, host: &str, out: &mut Vec<u8>) {
    let mut plain = Vec::new();
    for (at, (key, parts)) in fields.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        quote(key.as_bytes(), out);
        out.push(b':');
        plain.clear();
        let wrote = match parts.as_slice() {
            [LogPart::Operator(operator)] => value(operator, record, host, &mut plain),
            parts => {
                text(parts, record, host, &mut plain);
                Wrote::Text
            }
        };
        match wrote {
            Wrote::Text => quote(&plain, out),
            Wrote::Number => out.extend_from_slice(&plain),
            Wrote::Missing => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(if fields.is_empty() { b"{}\n" } else { b"}\n" });
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    // Writing a string to memory does not fail.
    let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
}

fn value(operator: &LogOperator, record: &Record<'_>, host: &str, out: &mut Vec<u8>) -> Wrote {
    match operator {
        LogOperator::StartTime => {
            time::write(record.start, out);
            Wrote::Text
        }
        LogOperator::RequestHeader { name, alternative, max } => {
            let names = [Some(name), alternative.as_ref()];
            header(names, *max, |name| request_header(record, name), out)
        }
        LogOperator::ResponseHeader { name, alternative, max } => {
            let names = [Some(name), alternative.as_ref()];
            let get = |name: &str| record.response_headers?.get(name).map(|value| value.as_bytes());
            header(names, *max, get, out)
        }
        LogOperator::Protocol => maybe(record.request.map(|request| request.protocol), out),
        LogOperator::ResponseCode => number(record.response_code.into(), out),
        LogOperator::ResponseCodeDetails => maybe(record.response_code_details, out),
        LogOperator::ResponseFlags => flags(record, out),
        LogOperator::BytesReceived => number(record.bytes_received, out),
        LogOperator::BytesSent => number(record.bytes_sent, out),
        LogOperator::Duration => {
            number(u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX), out)
        }
        LogOperator::UpstreamHost => address(record.upstream_host, out),
        LogOperator::UpstreamCluster => maybe(record.upstream_cluster, out),
        LogOperator::UpstreamLocalAddress => address(record.upstream_local, out),
        LogOperator::DownstreamRemoteAddress => address(Some(record.downstream_remote), out),
        LogOperator::DownstreamRemoteAddressWithoutPort => {
            let _ = write!(out, "{}", record.downstream_remote.ip());
            Wrote::Text
        }
        LogOperator::DownstreamLocalAddress => address(Some(record.downstream_local), out),
        LogOperator::RouteName => maybe(record.route_name.filter(|name| !name.is_empty()), out),
        LogOperator::RequestedServerName => maybe(record.server_name, out),
        LogOperator::DownstreamTls(field) => match record.downstream_tls {
            Some(info) => tls(*field, info, out),
            None => Wrote::Missing,
        },
        // In one word, as Envoy writes them.
        LogOperator::DownstreamTransportFailureReason => reason(record.downstream_failure, out),
        LogOperator::UpstreamTransportFailureReason => reason(record.upstream_failure, out),
        LogOperator::Hostname => maybe(Some(host), out),
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

/// The first of the headers that is there, cut to `max` bytes.
fn header<'a>(
    names: [Option<&String>; 2],
    max: Option<usize>,
    get: impl Fn(&str) -> Option<&'a [u8]>,
    out: &mut Vec<u8>,
) -> Wrote {
    let Some(value) = names.into_iter().flatten().find_map(|name| get(name)) else {
        return Wrote::Missing;
    };
    out.extend_from_slice(&value[..value.len().min(max.unwrap_or(usize::MAX))]);
    Wrote::Text
}

fn request_header<'a>(record: &Record<'a>, name: &str) -> Option<&'a [u8]> {
    let request = record.request?;
    let Some(pseudo) = name.strip_prefix(':') else {
        return request.headers.get(name).map(|value| value.as_bytes());
    };
    let value = match pseudo {
        name if name.eq_ignore_ascii_case("method") => request.method,
        name if name.eq_ignore_ascii_case("path") => request.path,
        name if name.eq_ignore_ascii_case("authority") => request.authority,
        name if name.eq_ignore_ascii_case("scheme") => request.scheme,
        _ => return None,
    };
    (!value.is_empty()).then_some(value.as_bytes())
}

fn flags(record: &Record<'_>, out: &mut Vec<u8>) -> Wrote {
    let before = out.len();
    for name in record.flags.names() {
        if out.len() > before {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    if out.len() == before {
        out.push(b'-');
    }
    Wrote::Text
}

fn maybe(text: Option<&str>, out: &mut Vec<u8>) -> Wrote {
    let Some(text) = text else { return Wrote::Missing };
    out.extend_from_slice(text.as_bytes());
    Wrote::Text
}

fn number(number: u64, out: &mut Vec<u8>) -> Wrote {
    let _ = write!(out, "{number}");
    Wrote::Number
}

fn address(address: Option<SocketAddr>, out: &mut Vec<u8>) -> Wrote {
    let Some(address) = address else { return Wrote::Missing };
    let _ = write!(out, "{address}");
    Wrote::Text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::HeaderMap;

    use super::*;
    use crate::access_log::{Flags, Request};

    fn operator(operator: LogOperator) -> LogPart {
        LogPart::Operator(operator)
    }

    fn literal(text: &str) -> LogPart {
        LogPart::Literal(text.to_owned())
    }

    fn request_header(name: &str, alternative: Option<&str>, max: Option<usize>) -> LogPart {
        operator(LogOperator::RequestHeader {
            name: name.to_owned(),
            alternative: alternative.map(str::to_owned),
            max,
        })
    }

    fn formatted(format: &LogFormat, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        line(format, record, "pod-1", &mut out);
        String::from_utf8(out).unwrap()
    }

    fn tcp() -> Record<'static> {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        Record::new(start, "10.0.0.1:4000".parse().unwrap(), "[fd00::1]:80".parse().unwrap())
    }

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "a \"quoted\" agent".parse().unwrap());
        headers
    }

    fn http(headers: &HeaderMap) -> Record<'_> {
        let mut record = tcp();
        record.request = Some(Request {
            method: "GET",
            scheme: "http",
            authority: "reviews:9080",
            path: "/reviews/0?x=1",
            protocol: "HTTP/1.1",
            headers,
        });
        record.response_code = 503;
        record.flags = Flags::UPSTREAM_CONNECTION_FAILURE;
        record.flags.insert(Flags::UPSTREAM_RETRY_LIMIT);
        record.duration = Duration::from_micros(12_999);
        record
    }

    #[test]
    fn text_has_a_dash_for_what_is_not_known() {
        let format = LogFormat::Text(vec![
            literal("["),
            operator(LogOperator::StartTime),
            literal("] \""),
            request_header(":METHOD", None, None),
            literal(" "),
            request_header("X-ENVOY-ORIGINAL-PATH", Some(":PATH"), Some(8)),
            literal(" "),
            operator(LogOperator::Protocol),
            literal("\" "),
            operator(LogOperator::ResponseCode),
            literal(" "),
            operator(LogOperator::ResponseFlags),
            literal(" "),
            operator(LogOperator::UpstreamHost),
            literal(" "),
            operator(LogOperator::Duration),
            literal("\n"),
        ]);
        assert_eq!(
            formatted(&format, &http(&headers())),
            "[1970-01-01T00:00:01.500Z] \"GET /reviews HTTP/1.1\" 503 UF,URX - 12\n"
        );
        assert_eq!(formatted(&format, &tcp()), "[1970-01-01T00:00:01.500Z] \"- - -\" 0 - - 0\n");
    }

    #[test]
    fn json_keeps_types_and_escapes() {
        let format = LogFormat::Json(vec![
            ("agent".to_owned(), vec![request_header("User-Agent", None, None)]),
            ("code".to_owned(), vec![operator(LogOperator::ResponseCode)]),
            ("cluster".to_owned(), vec![operator(LogOperator::UpstreamCluster)]),
            (
                "who".to_owned(),
                vec![
                    operator(LogOperator::DownstreamRemoteAddressWithoutPort),
                    literal(">"),
                    operator(LogOperator::DownstreamLocalAddress),
                    literal(">"),
                    operator(LogOperator::UpstreamHost),
                ],
            ),
            ("host".to_owned(), vec![operator(LogOperator::Hostname)]),
        ]);
        assert_eq!(
            formatted(&format, &http(&headers())),
            concat!(
                r#"{"agent":"a \"quoted\" agent","code":503,"cluster":null,"#,
                r#""who":"10.0.0.1>[fd00::1]:80>-","host":"pod-1"}"#,
                "\n"
            )
        );
    }
}
