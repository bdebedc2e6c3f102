//! `Http1ProtocolOptions`, of a connection manager and of a cluster.

use http::HeaderValue;
use mesh_proto::any;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::http::header_formatters::preserve_case::v3 as preserve;
use prost::Name as _;

use super::common::{decode, enumeration, refuse_set, unknown_type};
use crate::config::{Error, Http1Options, KeyFormat, Path};

/// `Http1ProtocolOptions`.
pub(super) fn http1(
    path: &Path,
    options: Option<core::Http1ProtocolOptions>,
) -> Result<Http1Options, Error> {
    let core::Http1ProtocolOptions {
        allow_absolute_url,
        accept_http_10,
        default_host_for_http_10,
        header_key_format,
        enable_trailers,
        allow_chunked_length,
        override_stream_error_on_invalid_http_message,
        send_fully_qualified_url,
        use_balsa_parser,
        allow_custom_methods,
        ignore_http_11_upgrade,
    } = options.unwrap_or_default();
    let override_stream_error_on_invalid_http_message =
        override_stream_error_on_invalid_http_message == Some(true);
    refuse_set!(
        path,
        Http1ProtocolOptions,
        override_stream_error_on_invalid_http_message,
        use_balsa_parser,
        ignore_http_11_upgrade,
    );
    Ok(Http1Options {
        refuse_absolute_url: allow_absolute_url == Some(false),
        accept_http_10,
        default_host_for_http_10: default_host(path, &default_host_for_http_10)?,
        key_format: key_format(&path.field("header_key_format"), header_key_format)?,
        enable_trailers,
        allow_chunked_length,
        send_fully_qualified_url,
        allow_custom_methods,
    })
}

fn default_host(path: &Path, host: &str) -> Result<Option<HeaderValue>, Error> {
    if host.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::from_str(host);
    value.map(Some).map_err(|_| {
        path.field("default_host_for_http_10").error(format!("found {host:?}, expected a host"))
    })
}

fn key_format(
    path: &Path,
    format: Option<core::http1_protocol_options::HeaderKeyFormat>,
) -> Result<KeyFormat, Error> {
    use core::http1_protocol_options::header_key_format::HeaderFormat;
    let Some(format) = format else { return Ok(KeyFormat::Lower) };
    match format.header_format {
        Some(HeaderFormat::ProperCaseWords(_)) => Ok(KeyFormat::ProperWords),
        Some(HeaderFormat::StatefulFormatter(formatter)) => {
            let path = path.field("stateful_formatter").field("typed_config");
            let any = formatter.typed_config.as_ref();
            let ours = any.filter(|any| any::is::<preserve::PreserveCaseFormatterConfig>(any));
            let Some(ours) = ours else {
                let expected = [preserve::PreserveCaseFormatterConfig::full_name()];
                return Err(unknown_type(&path, any, &expected));
            };
            preserve_case(&path, decode(&path, ours)?)
        }
        None => Err(path.error("missing: expected proper_case_words or stateful_formatter")),
    }
}

fn preserve_case(
    path: &Path,
    config: preserve::PreserveCaseFormatterConfig,
) -> Result<KeyFormat, Error> {
    use preserve::preserve_case_formatter_config::FormatterTypeOnEnvoyHeaders as OnOthers;
    let preserve::PreserveCaseFormatterConfig {
        forward_reason_phrase,
        formatter_type_on_envoy_headers,
    } = config;
    let on_others: OnOthers =
        enumeration(path, "formatter_type_on_envoy_headers", formatter_type_on_envoy_headers)?;
    Ok(KeyFormat::Preserve {
        proper_others: on_others == OnOthers::ProperCase,
        reason: forward_reason_phrase,
    })
}
