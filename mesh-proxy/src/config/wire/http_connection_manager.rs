//! `HttpConnectionManager`.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use proto::http_connection_manager as parts;

use super::KnownClusters;
use super::access_log::access_logs;
use super::client_cert::client_cert;
use super::common::{ads_source, enumeration, not_honoured, refuse_set, required_name, timeout};
use super::http_filter::filters;
use super::http_options::{common, http2, kibibytes};
use super::http1_options::http1;
use super::local_reply::local_replies;
use super::origin;
use super::route_table::inline_route_table;
use crate::config::{
    CodecType, Error, EscapedSlashes, HttpConnectionManager, Path, PathNormalisation, RouteSource,
    ServerHeader, StripPort, Upgrades,
};

const DEFAULT_STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const DEFAULT_DELAYED_CLOSE: Duration = Duration::from_secs(1);
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Envoy's `HttpConnectionManager`.
pub(super) fn http_connection_manager(
    manager: proto::HttpConnectionManager,
    path: &Path,
    known: KnownClusters<'_>,
) -> Result<HttpConnectionManager, Error> {
    let proto::HttpConnectionManager {
        codec_type,
        stat_prefix,
        http_filters,
        add_user_agent,
        tracing,
        common_http_protocol_options,
        http1_safe_max_connection_duration,
        http_protocol_options,
        http2_protocol_options,
        http3_protocol_options,
        server_name,
        server_header_transformation,
        scheme_header_transformation,
        max_request_headers_kb,
        stream_idle_timeout,
        stream_flush_timeout,
        request_timeout,
        request_headers_timeout,
        drain_timeout,
        drain_timeout_jitter,
        delayed_close_timeout,
        access_log,
        access_log_flush_interval,
        flush_access_log_on_new_request,
        access_log_options,
        use_remote_address,
        xff_num_trusted_hops,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config,
        skip_xff_append,
        via,
        generate_request_id,
        preserve_external_request_id,
        always_set_request_id_in_response,
        forward_client_cert_details,
        set_current_client_cert_details,
        forward_client_cert_matcher,
        proxy_100_continue,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        upgrade_configs,
        normalize_path,
        merge_slashes,
        path_with_escaped_slashes_action,
        request_id_extension,
        local_reply_config,
        strip_matching_host_port,
        stream_error_on_invalid_http_message,
        path_normalization_options,
        strip_trailing_host_dot,
        proxy_status_config,
        typed_header_validation_config,
        append_x_forwarded_port,
        append_local_overload,
        add_proxy_protocol_connection_state,
        forward_proto_config,
        route_specifier,
        strip_port_mode,
    } = manager;
    let add_user_agent = add_user_agent == Some(true);
    let stream_error_on_invalid_http_message = stream_error_on_invalid_http_message == Some(true);
    refuse_set!(
        path,
        HttpConnectionManager,
        add_user_agent,
        http3_protocol_options,
        stream_flush_timeout,
        drain_timeout,
        drain_timeout_jitter,
        access_log_flush_interval,
        flush_access_log_on_new_request,
        access_log_options,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        forward_client_cert_matcher,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        stream_error_on_invalid_http_message,
        path_normalization_options,
        proxy_status_config,
        typed_header_validation_config,
        append_local_overload,
        add_proxy_protocol_connection_state,
        forward_proto_config,
    );
    origin::uuid(&path.field("request_id_extension"), request_id_extension)?;
    no_tracer(&path.field("tracing"), tracing)?;
    let options =
        common(&path.field("common_http_protocol_options"), common_http_protocol_options)?;
    let (routes, rds_initial_fetch_timeout) = routes(path, route_specifier, known)?;
    let stream_idle = timeout(
        path,
        "stream_idle_timeout",
        stream_idle_timeout,
        Some(DEFAULT_STREAM_IDLE_TIMEOUT),
    )?;
    Ok(HttpConnectionManager {
        stat_prefix: required_name(path, "stat_prefix", &stat_prefix)?,
        codec: codec(path, codec_type)?,
        routes,
        http_filters: filters(&path.field("http_filters"), http_filters)?,
        upgrades: upgrades(&path.field("upgrade_configs"), upgrade_configs)?,
        idle_timeout: options.idle_timeout,
        stream_idle_timeout: stream_idle,
        request_headers_timeout: timeout(
            path,
            "request_headers_timeout",
            request_headers_timeout,
            None,
        )?,
        request_timeout: timeout(path, "request_timeout", request_timeout, None)?,
        drain_timeout: super::common::duration(path, "drain_timeout", drain_timeout)?
            .unwrap_or(DEFAULT_DRAIN_TIMEOUT),
        server_name: if server_name.is_empty() { "envoy".into() } else { server_name.into() },
        server_header: server_header(path, server_header_transformation)?,
        use_remote_address: use_remote_address.unwrap_or(false),
        xff_trusted_hops: xff_num_trusted_hops,
        internal_addresses: origin::internal_addresses(
            &path.field("internal_address_config"),
            internal_address_config,
        )?,
        skip_xff_append,
        append_forwarded_port: append_x_forwarded_port,
        scheme: origin::scheme(
            &path.field("scheme_header_transformation"),
            scheme_header_transformation,
        )?,
        via: origin::via(path, &via)?,
        proxies_continue: proxy_100_continue,
        path: PathNormalisation {
            escaped_slashes: escaped_slashes(path, path_with_escaped_slashes_action)?,
            normalize: normalize_path == Some(true),
            merge_slashes,
        },
        strip_port: match strip_port_mode {
            Some(parts::StripPortMode::StripAnyHostPort(true)) => StripPort::Any,
            _ if strip_matching_host_port => StripPort::Matching,
            _ => StripPort::Never,
        },
        strip_host_dot: strip_trailing_host_dot,
        underscores: options.underscores,
        max_stream_duration: options.max_stream_duration,
        max_connection_duration: options.max_connection_duration,
        max_connection_duration_jitter: options.max_connection_duration_jitter,
        safe_max_connection_duration: http1_safe_max_connection_duration,
        max_requests_per_connection: options.max_requests_per_connection.filter(|most| *most != 0),
        generate_request_id: generate_request_id.unwrap_or(true),
        preserve_external_request_id,
        request_id_in_response: always_set_request_id_in_response,
        client_cert: client_cert(
            path,
            forward_client_cert_details,
            set_current_client_cert_details,
        )?,
        local_replies: local_replies(&path.field("local_reply_config"), local_reply_config)?,
        access_logs: access_logs(&path.field("access_log"), access_log)?,
        max_headers_size: kibibytes(path, "max_request_headers_kb", max_request_headers_kb)?,
        max_headers_count: options.max_headers_count,
        delayed_close_timeout: timeout(
            path,
            "delayed_close_timeout",
            delayed_close_timeout,
            Some(DEFAULT_DELAYED_CLOSE),
        )?,
        http1: http1(&path.field("http_protocol_options"), http_protocol_options)?,
        http2: http2(&path.field("http2_protocol_options"), http2_protocol_options)?,
        rds_initial_fetch_timeout,
    })
}

fn codec(path: &Path, value: i32) -> Result<CodecType, Error> {
    match enumeration(path, "codec_type", value)? {
        parts::CodecType::Auto => Ok(CodecType::Auto),
        parts::CodecType::Http1 => Ok(CodecType::Http1),
        parts::CodecType::Http2 => Ok(CodecType::Http2),
        parts::CodecType::Http3 => {
            Err(path.field("codec_type").error("found HTTP3, expected AUTO, HTTP1 or HTTP2"))
        }
    }
}

fn server_header(path: &Path, value: i32) -> Result<ServerHeader, Error> {
    use parts::ServerHeaderTransformation as Transformation;
    Ok(match enumeration(path, "server_header_transformation", value)? {
        Transformation::Overwrite => ServerHeader::Overwrite,
        Transformation::AppendIfAbsent => ServerHeader::AppendIfAbsent,
        Transformation::PassThrough => ServerHeader::PassThrough,
    })
}

/// What says how to sample and tag is harmless as long as no provider takes the spans.
fn no_tracer(path: &Path, tracing: Option<parts::Tracing>) -> Result<(), Error> {
    match tracing.and_then(|tracing| tracing.provider) {
        Some(_) => Err(not_honoured(&path.field("provider"))),
        None => Ok(()),
    }
}

fn escaped_slashes(path: &Path, value: i32) -> Result<EscapedSlashes, Error> {
    use parts::PathWithEscapedSlashesAction as Slashes;
    Ok(match enumeration(path, "path_with_escaped_slashes_action", value)? {
        Slashes::ImplementationSpecificDefault | Slashes::KeepUnchanged => EscapedSlashes::Keep,
        Slashes::RejectRequest => EscapedSlashes::Reject,
        Slashes::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
        Slashes::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
    })
}

fn routes(
    path: &Path,
    specifier: Option<parts::RouteSpecifier>,
    known: KnownClusters<'_>,
) -> Result<(RouteSource, Option<Duration>), Error> {
    match specifier {
        Some(parts::RouteSpecifier::RouteConfig(table)) => {
            let table = inline_route_table(table, &path.field("route_config"), known)?;
            Ok((RouteSource::Inline(Arc::new(table)), None))
        }
        Some(parts::RouteSpecifier::Rds(rds)) => {
            let path = path.field("rds");
            let proto::Rds { config_source, route_config_name } = rds;
            let timeout = ads_source(&path.field("config_source"), config_source)?;
            let name = required_name(&path, "route_config_name", &route_config_name)?;
            Ok((RouteSource::Rds(name), timeout))
        }
        Some(parts::RouteSpecifier::ScopedRoutes(_)) => {
            Err(not_honoured(&path.field("scoped_routes")))
        }
        None => Err(path.error("missing: expected route_config or rds")),
    }
}

fn upgrades(path: &Path, upgrades: Vec<parts::UpgradeConfig>) -> Result<Upgrades, Error> {
    let mut found = Vec::with_capacity(upgrades.len());
    for (index, upgrade) in upgrades.into_iter().enumerate() {
        let path = path.index(index);
        let parts::UpgradeConfig { upgrade_type, filters, enabled } = upgrade;
        refuse_set!(&path, UpgradeConfig, filters);
        let name = required_name(&path, "upgrade_type", &upgrade_type)?;
        found.push((name, enabled.unwrap_or(true)));
    }
    Ok(Upgrades(found))
}
