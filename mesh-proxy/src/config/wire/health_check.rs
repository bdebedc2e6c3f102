//! `HealthCheck`.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::core::v3::health_check as wire;
use mesh_proto::envoy::config::endpoint::v3::endpoint::HealthCheckConfig;
use mesh_proto::envoy::r#type::v3::{CodecClientType, Int64Range};

use super::common::{
    duration, enumeration, ip, not_honoured, port, positive, refuse_set, required, required_name,
};
use super::header::header_value;
use super::route_match::string_match;
use crate::config::{
    EndpointHealthCheck, Error, GrpcProbe, HealthCheck, HttpProbe, Intervals, Path, Probe, TcpProbe,
};

const NO_TRAFFIC: Duration = Duration::from_secs(60);
const DEFAULT_BUFFER: u64 = 1024;

/// The health check of a cluster; `is_http2` says that its connections are HTTP/2.
pub(super) fn health_check(
    path: &Path,
    checks: Vec<core::HealthCheck>,
    is_http2: bool,
) -> Result<Option<HealthCheck>, Error> {
    let path = path.field("health_checks");
    let count = checks.len();
    let mut checks = checks.into_iter();
    match (checks.next(), count) {
        (None, _) => Ok(None),
        (Some(check), 1) => one(&path.index(0), check, is_http2).map(Some),
        _ => Err(path.error(format!("found {count}, expected one"))),
    }
}

fn one(path: &Path, check: core::HealthCheck, is_http2: bool) -> Result<HealthCheck, Error> {
    let core::HealthCheck {
        timeout,
        interval,
        initial_jitter,
        interval_jitter,
        interval_jitter_percent,
        unhealthy_threshold,
        healthy_threshold,
        alt_port,
        reuse_connection,
        no_traffic_interval,
        no_traffic_healthy_interval,
        unhealthy_interval,
        unhealthy_edge_interval,
        healthy_edge_interval,
        event_log_path,
        event_logger,
        event_service,
        always_log_health_check_failures,
        always_log_health_check_success,
        tls_options,
        transport_socket_match_criteria,
        health_checker,
    } = check;
    refuse_set!(
        path,
        HealthCheck,
        event_log_path,
        event_logger,
        event_service,
        always_log_health_check_failures,
        always_log_health_check_success,
        tls_options,
        transport_socket_match_criteria,
    );
    let time = |field: &str, value, default| {
        positive(path, field, value).map(|found| found.unwrap_or(default))
    };
    let jitter = |field: &str, value| duration(path, field, value).map(Option::unwrap_or_default);
    let healthy = required(path, "interval", positive(path, "interval", interval)?)?;
    let unhealthy = time("unhealthy_interval", unhealthy_interval, healthy)?;
    let no_traffic = time("no_traffic_interval", no_traffic_interval, NO_TRAFFIC)?;
    Ok(HealthCheck {
        timeout: required(path, "timeout", positive(path, "timeout", timeout)?)?,
        intervals: Intervals {
            healthy,
            healthy_edge: time("healthy_edge_interval", healthy_edge_interval, healthy)?,
            unhealthy,
            unhealthy_edge: time("unhealthy_edge_interval", unhealthy_edge_interval, unhealthy)?,
            no_traffic,
            no_traffic_healthy: time(
                "no_traffic_healthy_interval",
                no_traffic_healthy_interval,
                no_traffic,
            )?,
            jitter: jitter("interval_jitter", interval_jitter)?,
            jitter_percent: interval_jitter_percent,
        },
        initial_jitter: jitter("initial_jitter", initial_jitter)?,
        unhealthy_threshold: required(path, "unhealthy_threshold", unhealthy_threshold)?,
        healthy_threshold: required(path, "healthy_threshold", healthy_threshold)?,
        port: alt_port.map(|value| port(&path.field("alt_port"), value)).transpose()?,
        reuse_connection: reuse_connection.unwrap_or(true),
        probe: probe(path, health_checker, is_http2)?,
    })
}

fn probe(
    path: &Path,
    checker: Option<wire::HealthChecker>,
    is_http2: bool,
) -> Result<Probe, Error> {
    match checker {
        Some(wire::HealthChecker::HttpHealthCheck(check)) => {
            let probe = http(&path.field("http_health_check"), check)?;
            Ok(Probe::Http(Box::new(probe)))
        }
        Some(wire::HealthChecker::TcpHealthCheck(check)) => {
            let path = path.field("tcp_health_check");
            let wire::TcpHealthCheck { send, receive, proxy_protocol_config } = check;
            refuse_set!(&path, TcpHealthCheck, proxy_protocol_config);
            let send = send.map(|send| payload(&path.field("send"), send)).transpose()?;
            let receive = payloads(&path.field("receive"), receive)?;
            Ok(Probe::Tcp(TcpProbe { send: send.unwrap_or_default(), receive }))
        }
        Some(wire::HealthChecker::GrpcHealthCheck(check)) => {
            let path = path.field("grpc_health_check");
            let wire::GrpcHealthCheck { service_name: service, authority, initial_metadata } =
                check;
            refuse_set!(&path, GrpcHealthCheck, initial_metadata);
            if !is_http2 {
                return Err(path.error("expected only for a cluster that speaks HTTP/2"));
            }
            let authority = (!authority.is_empty()).then(|| authority.into());
            Ok(Probe::Grpc(GrpcProbe { service, authority }))
        }
        Some(wire::HealthChecker::CustomHealthCheck(_)) => {
            Err(not_honoured(&path.field("custom_health_check")))
        }
        None => Err(path
            .error("missing: expected http_health_check, tcp_health_check or grpc_health_check")),
    }
}

fn http(path: &Path, check: wire::HttpHealthCheck) -> Result<HttpProbe, Error> {
    let wire::HttpHealthCheck {
        host,
        path: target,
        send,
        receive,
        response_buffer_size,
        request_headers_to_add,
        request_headers_to_remove,
        expected_statuses,
        retriable_statuses,
        codec_client_type,
        service_name_matcher,
        method,
    } = check;
    let target = required_name(path, "path", &target)?;
    if !target.starts_with('/') || target.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(path.field("path").error(format!("found {target:?}, expected /PATH")));
    }
    let method = self::method(path, method)?;
    let send = send.map(|send| payload(&path.field("send"), send)).transpose()?;
    if send.is_some() && matches!(method.as_str(), "GET" | "HEAD" | "DELETE" | "TRACE") {
        return Err(path.field("send").error(format!("expected none: {method} has no body")));
    }
    let http2 = match enumeration(path, "codec_client_type", codec_client_type)? {
        CodecClientType::Http1 => false,
        CodecClientType::Http2 => true,
        CodecClientType::Http3 => {
            return Err(path
                .field("codec_client_type")
                .error("found HTTP3, expected HTTP1 or HTTP2"));
        }
    };
    let removed = path.field("request_headers_to_remove");
    let remove = request_headers_to_remove.iter().enumerate();
    let remove = remove.map(|(index, name)| header_name(&removed.index(index), name));
    let added = path.field("request_headers_to_add");
    let mut add = Vec::new();
    for (index, option) in request_headers_to_add.into_iter().enumerate() {
        add.push(header(&added.index(index), option)?);
    }
    let mut expected = statuses(&path.field("expected_statuses"), &expected_statuses)?;
    if expected.is_empty() {
        expected.push(200..201);
    }
    let service_name = service_name_matcher
        .map(|matcher| string_match(matcher, &path.field("service_name_matcher")))
        .transpose()?;
    Ok(HttpProbe {
        host: (!host.is_empty()).then(|| host.into()),
        path: target,
        method,
        http2,
        remove: remove.collect::<Result<_, _>>()?,
        add,
        send: send.unwrap_or_default(),
        receive: payloads(&path.field("receive"), receive)?,
        buffer: response_buffer_size.unwrap_or(DEFAULT_BUFFER) as usize,
        expected,
        retriable: statuses(&path.field("retriable_statuses"), &retriable_statuses)?,
        service_name,
    })
}

fn method(path: &Path, method: i32) -> Result<Method, Error> {
    use core::RequestMethod as Wire;
    let method: Wire = enumeration(path, "method", method)?;
    match method {
        Wire::MethodUnspecified => Ok(Method::GET),
        Wire::Connect => Err(path.field("method").error("found CONNECT, expected another one")),
        other => Method::from_bytes(other.as_str_name().as_bytes())
            .map_err(|_| path.field("method").error("is no method")),
    }
}

fn header_name(path: &Path, name: &str) -> Result<HeaderName, Error> {
    name.parse().map_err(|_| path.error(format!("found {name:?}, which is no header name")))
}

fn header(
    path: &Path,
    option: core::HeaderValueOption,
) -> Result<(HeaderName, HeaderValue, bool), Error> {
    use core::header_value_option::HeaderAppendAction as Append;
    let core::HeaderValueOption { header, append, append_action, keep_empty_value } = option;
    refuse_set!(path, HeaderValueOption, keep_empty_value);
    let core::HeaderValue { key, value, raw_value } = required(path, "header", header)?;
    let overwrite = match enumeration(path, "append_action", append_action)? {
        Append::AppendIfExistsOrAdd => append == Some(false),
        Append::OverwriteIfExistsOrAdd => true,
        Append::AddIfAbsent | Append::OverwriteIfExists => {
            return Err(not_honoured(&path.field("append_action")));
        }
    };
    let path = path.field("header");
    refuse_set!(&path, HeaderValue, raw_value);
    let name = header_name(&path.field("key"), &key)?;
    if value.contains('%') {
        let path = path.field("value");
        return Err(path.error(format!("found {value:?}: command operators are not honoured here")));
    }
    Ok((name, header_value(&path.field("value"), &value)?, overwrite))
}

fn statuses(path: &Path, ranges: &[Int64Range]) -> Result<Vec<Range<u16>>, Error> {
    let range = |(index, range): (usize, &Int64Range)| {
        let Int64Range { start, end } = *range;
        if start < 100 || end > 600 || start >= end {
            let message = format!("found {start} to {end}, expected a range within 100 to 600");
            return Err(path.index(index).error(message));
        }
        Ok(start as u16..end as u16)
    };
    ranges.iter().enumerate().map(range).collect()
}

fn payloads(path: &Path, all: Vec<wire::Payload>) -> Result<Vec<Bytes>, Error> {
    let one = |(index, one)| payload(&path.index(index), one);
    all.into_iter().enumerate().map(one).collect()
}

/// `text` is hexadecimal.
fn payload(path: &Path, payload: wire::Payload) -> Result<Bytes, Error> {
    match payload.payload {
        Some(wire::payload::Payload::Binary(bytes)) => Ok(bytes.into()),
        Some(wire::payload::Payload::Text(text)) => unhex(&text).ok_or_else(|| {
            path.field("text").error(format!("found {text:?}, expected pairs of hex digits"))
        }),
        None => Err(path.error("missing: expected text or binary")),
    }
}

fn unhex(text: &str) -> Option<Bytes> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? * 16 + digit(*low)?) as u8);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|bytes| rest.is_empty() && !bytes.is_empty()).map(Bytes::from)
}

/// `health_check_config` of an endpoint.
pub(super) fn of_endpoint(
    path: &Path,
    config: HealthCheckConfig,
) -> Result<EndpointHealthCheck, Error> {
    let HealthCheckConfig { port_value, hostname, address, disable_active_health_check } = config;
    let path_of_address = path.field("address");
    let address = match address.and_then(|address| address.address) {
        None => None,
        Some(core::address::Address::SocketAddress(socket)) => {
            // Its port counts for nothing (`port_value` does).
            let path = path_of_address.field("socket_address.address");
            Some(ip(&path, &socket.address)?)
        }
        Some(_) => return Err(path_of_address.error("expected a socket_address")),
    };
    let port = port(&path.field("port_value"), port_value)?;
    Ok(EndpointHealthCheck {
        port: (port != 0).then_some(port),
        address,
        hostname: (!hostname.is_empty()).then(|| hostname.into()),
        disabled: disable_active_health_check,
    })
}
