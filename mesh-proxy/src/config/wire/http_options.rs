//! HTTP protocol options: of a connection manager, and of a cluster in their three places.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::any;
use mesh_proto::envoy::config::cluster::v3::cluster::ClusterProtocolSelection;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::upstreams::http::v3 as upstreams;
use prost::Name as _;
use prost_types::Any;

use super::common::{decode, enumeration, not_honoured, refuse_set, timeout, unknown_type};
use super::http1_options::http1;
use crate::config::{Error, Http1Options, Http2Options, HttpProtocol, Path, Underscores};

const EXTENSION: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Envoy's limits of a head: KiB, and fields.
const DEFAULT_HEADERS_KB: u32 = 60;
const DEFAULT_HEADERS_COUNT: u32 = 100;
/// What holds the headers of a message takes half as many again, and there are those that are added.
const MOST_HEADERS: u32 = 16_384;
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// RFC 9113, sections 6.5.2 and 6.9.1.
const WINDOW_SIZES: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;

/// The fields of a cluster that say how HTTP is spoken.
pub(super) struct ClusterOptions {
    pub(super) extensions: BTreeMap<String, Any>,
    pub(super) common: Option<core::HttpProtocolOptions>,
    pub(super) http1: Option<core::Http1ProtocolOptions>,
    pub(super) http2: Option<core::Http2ProtocolOptions>,
    pub(super) max_requests_per_connection: Option<u32>,
    pub(super) protocol_selection: i32,
}

/// How a cluster speaks HTTP.
pub(super) struct Upstream {
    pub(super) protocol: HttpProtocol,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_connection_duration: Option<(Duration, f64)>,
    pub(super) max_requests_per_connection: Option<u32>,
    pub(super) max_headers_size: usize,
    pub(super) max_headers_count: usize,
    pub(super) http1: Http1Options,
    pub(super) http2: Http2Options,
}

/// The extension, or the deprecated fields of the cluster itself.
pub(super) fn upstream(path: &Path, options: ClusterOptions) -> Result<Upstream, Error> {
    let extensions = path.field("typed_extension_protocol_options");
    if let Some(unknown) = options.extensions.keys().find(|key| *key != EXTENSION) {
        return Err(extensions.error(format!("found {unknown:?}, expected {EXTENSION:?}")));
    }
    if let Some(any) = options.extensions.get(EXTENSION) {
        let path = extensions.field(EXTENSION);
        if !any::is::<upstreams::HttpProtocolOptions>(any) {
            return Err(unknown_type(
                &path,
                Some(any),
                &[upstreams::HttpProtocolOptions::full_name()],
            ));
        }
        return by_extension(&path, decode(&path, any)?);
    }
    let common = of_cluster(&path.field("common_http_protocol_options"), options.common)?;
    let http1 = http1(&path.field("http_protocol_options"), options.http1)?;
    let selection = enumeration(path, "protocol_selection", options.protocol_selection)?;
    Ok(Upstream {
        protocol: match selection {
            ClusterProtocolSelection::UseDownstreamProtocol => HttpProtocol::Downstream,
            ClusterProtocolSelection::UseConfiguredProtocol if options.http2.is_some() => {
                HttpProtocol::Http2
            }
            ClusterProtocolSelection::UseConfiguredProtocol => HttpProtocol::Http1,
        },
        idle_timeout: common.idle_timeout,
        max_connection_duration: common.duration(),
        max_requests_per_connection: limit(
            common.max_requests_per_connection.or(options.max_requests_per_connection),
        ),
        max_headers_size: common.max_response_headers_size,
        max_headers_count: common.max_headers_count,
        http1,
        http2: http2(&path.field("http2_protocol_options"), options.http2)?,
    })
}

fn by_extension(path: &Path, options: upstreams::HttpProtocolOptions) -> Result<Upstream, Error> {
    use upstreams::http_protocol_options::UpstreamProtocolOptions as Choice;
    use upstreams::http_protocol_options::explicit_http_config::ProtocolConfig;
    let upstreams::HttpProtocolOptions {
        common_http_protocol_options,
        upstream_http_protocol_options,
        http_filters,
        header_validation_config,
        outlier_detection,
        request_mirror_policies,
        hash_policy,
        retry_policy,
        upstream_protocol_options,
    } = options;
    refuse_set!(
        path,
        UpstreamOptions,
        upstream_http_protocol_options,
        http_filters,
        header_validation_config,
        outlier_detection,
        request_mirror_policies,
        hash_policy,
        retry_policy,
    );
    let common =
        of_cluster(&path.field("common_http_protocol_options"), common_http_protocol_options)?;
    let explicit = path.field("explicit_http_config");
    let (protocol, http1, http2) = match upstream_protocol_options {
        Some(Choice::ExplicitHttpConfig(config)) => match config.protocol_config {
            Some(ProtocolConfig::HttpProtocolOptions(options)) => {
                let path = explicit.field("http_protocol_options");
                (HttpProtocol::Http1, http1(&path, Some(options))?, Http2Options::default())
            }
            Some(ProtocolConfig::Http2ProtocolOptions(options)) => {
                let path = explicit.field("http2_protocol_options");
                (HttpProtocol::Http2, Http1Options::default(), http2(&path, Some(options))?)
            }
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                return Err(not_honoured(&explicit.field("http3_protocol_options")));
            }
            None => {
                return Err(explicit
                    .error("missing: expected http2_protocol_options or http_protocol_options"));
            }
        },
        Some(Choice::UseDownstreamProtocolConfig(config)) => {
            let path = path.field("use_downstream_protocol_config");
            let upstreams::http_protocol_options::UseDownstreamHttpConfig {
                http_protocol_options,
                http2_protocol_options,
                http3_protocol_options,
            } = config;
            refuse_set!(&path, UseDownstreamHttpConfig, http3_protocol_options);
            let http1 = http1(&path.field("http_protocol_options"), http_protocol_options)?;
            let http2 = http2(&path.field("http2_protocol_options"), http2_protocol_options)?;
            (HttpProtocol::Downstream, http1, http2)
        }
        Some(Choice::AutoConfig(_)) => return Err(not_honoured(&path.field("auto_config"))),
        None => {
            return Err(path.error(
                "missing: expected explicit_http_config or use_downstream_protocol_config",
            ));
        }
    };
    Ok(Upstream {
        protocol,
        idle_timeout: common.idle_timeout,
        max_connection_duration: common.duration(),
        max_requests_per_connection: limit(common.max_requests_per_connection),
        max_headers_size: common.max_response_headers_size,
        max_headers_count: common.max_headers_count,
        http1,
        http2,
    })
}

/// Envoy takes 0 for no limit.
fn limit(value: Option<u32>) -> Option<u32> {
    value.filter(|value| *value != 0)
}

/// What is honoured of `HttpProtocolOptions`.
pub(super) struct Common {
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_requests_per_connection: Option<u32>,
    pub(super) max_headers_count: usize,
    /// Of a cluster alone.
    pub(super) max_response_headers_size: usize,
    /// Of a connection manager alone.
    pub(super) underscores: Underscores,
    pub(super) max_stream_duration: Option<Duration>,
    pub(super) max_connection_duration: Option<Duration>,
    pub(super) max_connection_duration_jitter: f64,
}

impl Common {
    /// How long a connection may live, and how much longer it may be, as a part of it.
    fn duration(&self) -> Option<(Duration, f64)> {
        self.max_connection_duration.map(|most| (most, self.max_connection_duration_jitter))
    }
}

/// Those of a cluster.
fn of_cluster(path: &Path, options: Option<core::HttpProtocolOptions>) -> Result<Common, Error> {
    let common = common(path, options)?;
    if common.max_stream_duration.is_some() {
        return Err(not_honoured(&path.field("max_stream_duration")));
    }
    if common.underscores != Underscores::Allow {
        return Err(not_honoured(&path.field("headers_with_underscores_action")));
    }
    Ok(common)
}

/// `common_http_protocol_options`.
pub(super) fn common(
    path: &Path,
    options: Option<core::HttpProtocolOptions>,
) -> Result<Common, Error> {
    let core::HttpProtocolOptions {
        idle_timeout,
        max_connection_duration,
        max_connection_duration_jitter,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        headers_with_underscores_action,
        max_requests_per_connection,
    } = options.unwrap_or_default();
    Ok(Common {
        max_stream_duration: timeout(path, "max_stream_duration", max_stream_duration, None)?,
        underscores: underscores(path, headers_with_underscores_action)?,
        max_connection_duration: timeout(
            path,
            "max_connection_duration",
            max_connection_duration,
            None,
        )?,
        max_connection_duration_jitter: max_connection_duration_jitter
            .map_or(0.0, |jitter| jitter.value / 100.0),
        max_headers_count: count(path, "max_headers_count", max_headers_count)?,
        max_response_headers_size: kibibytes(
            path,
            "max_response_headers_kb",
            max_response_headers_kb,
        )?,
        idle_timeout: timeout(path, "idle_timeout", idle_timeout, Some(DEFAULT_IDLE_TIMEOUT))?,
        max_requests_per_connection,
    })
}

/// A limit on the size of a head in KiB, as bytes.
pub(super) fn kibibytes(path: &Path, field: &str, value: Option<u32>) -> Result<usize, Error> {
    match value.unwrap_or(DEFAULT_HEADERS_KB) {
        value @ 1..=8192 => Ok(value as usize * 1024),
        value => Err(path.field(field).error(format!("found {value}, expected from 1 to 8192"))),
    }
}

fn count(path: &Path, field: &str, value: Option<u32>) -> Result<usize, Error> {
    match value.unwrap_or(DEFAULT_HEADERS_COUNT) {
        value @ 1..=MOST_HEADERS => Ok(value as usize),
        value => Err(path
            .field(field)
            .error(format!("found {value}, expected from 1 to {MOST_HEADERS}"))),
    }
}

fn underscores(path: &Path, value: i32) -> Result<Underscores, Error> {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Action;
    Ok(match enumeration(path, "headers_with_underscores_action", value)? {
        Action::Allow => Underscores::Allow,
        Action::RejectRequest => Underscores::Reject,
        Action::DropHeader => Underscores::Drop,
    })
}

/// `Http2ProtocolOptions`.
pub(super) fn http2(
    path: &Path,
    options: Option<core::Http2ProtocolOptions>,
) -> Result<Http2Options, Error> {
    let core::Http2ProtocolOptions {
        hpack_table_size,
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        allow_metadata,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        custom_settings_parameters,
        connection_keepalive,
        use_oghttp2_codec,
        max_metadata_size,
        enable_huffman_encoding,
        max_header_field_size_kb,
        disallow_obs_text,
        stream_reset_burst,
        stream_reset_rate,
    } = options.unwrap_or_default();
    refuse_set!(
        path,
        Http2ProtocolOptions,
        hpack_table_size,
        allow_metadata,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        custom_settings_parameters,
        connection_keepalive,
        use_oghttp2_codec,
        max_metadata_size,
        enable_huffman_encoding,
        max_header_field_size_kb,
        disallow_obs_text,
    );
    let defaults = Http2Options::default();
    if max_concurrent_streams == Some(0) {
        return Err(path.field("max_concurrent_streams").error("found 0, expected 1 or more"));
    }
    window(path, "initial_stream_window_size", initial_stream_window_size)?;
    window(path, "initial_connection_window_size", initial_connection_window_size)?;
    Ok(Http2Options {
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        stream_reset_burst: stream_reset_burst.unwrap_or(defaults.stream_reset_burst),
        stream_reset_rate: stream_reset_rate.unwrap_or(defaults.stream_reset_rate),
    })
}

fn window(path: &Path, field: &str, value: Option<u32>) -> Result<(), Error> {
    match value {
        Some(value) if !WINDOW_SIZES.contains(&value) => Err(path
            .field(field)
            .error(format!("found {value}, expected from 65535 to 2147483647"))),
        _ => Ok(()),
    }
}
