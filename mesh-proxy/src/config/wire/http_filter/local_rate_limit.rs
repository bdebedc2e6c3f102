//! `LocalRateLimit`.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::common::ratelimit::v3::{
    VhRateLimitsOptions, XRateLimitHeadersRfcVersion,
};
use mesh_proto::envoy::extensions::filters::http::local_ratelimit::v3 as proto;
use mesh_proto::envoy::r#type::v3 as types;

use crate::config::wire::common::{duration, enumeration, refuse_set, required_name};
use crate::config::wire::fraction::runtime_fraction;
use crate::config::wire::header::header_additions;
use crate::config::{Error, HeaderChanges, LocalRateLimit, Path, TokenBucket};

/// Envoy refills no faster.
const SHORTEST_FILL: Duration = Duration::from_millis(50);

/// A route's or a virtual host's own limit, which must have tokens.
pub(super) fn per_route(path: &Path, wire: proto::LocalRateLimit) -> Result<LocalRateLimit, Error> {
    let limit = local_rate_limit(path, wire)?;
    match limit.bucket {
        Some(_) => Ok(limit),
        None => Err(path.field("token_bucket").error("missing: a route's own limit needs one")),
    }
}

/// Envoy's `LocalRateLimit`.
pub(super) fn local_rate_limit(
    path: &Path,
    wire: proto::LocalRateLimit,
) -> Result<LocalRateLimit, Error> {
    let proto::LocalRateLimit {
        stat_prefix,
        status,
        token_bucket,
        filter_enabled,
        filter_enforced,
        request_headers_to_add_when_not_enforced,
        response_headers_to_add,
        descriptors,
        stage,
        local_rate_limit_per_downstream_connection,
        local_cluster_rate_limit,
        enable_x_ratelimit_headers,
        vh_rate_limits,
        always_consume_default_token_bucket,
        rate_limited_as_resource_exhausted,
        rate_limits,
        max_dynamic_descriptors,
        enable_retry_after_header,
    } = wire;
    let vh_rate_limits: VhRateLimitsOptions = enumeration(path, "vh_rate_limits", vh_rate_limits)?;
    let vh_rate_limits = vh_rate_limits as i32;
    refuse_set!(
        path,
        LocalRateLimit,
        descriptors,
        stage,
        local_rate_limit_per_downstream_connection,
        local_cluster_rate_limit,
        vh_rate_limits,
        always_consume_default_token_bucket,
        rate_limits,
        max_dynamic_descriptors,
    );
    let share = |field: &str, wire: Option<_>| {
        wire.map(|wire| runtime_fraction(wire, &path.field(field))).transpose()
    };
    let headers = |field: &str, wire: Vec<core::HeaderValueOption>| {
        let additions = header_additions(&path.field(field), wire)?;
        Ok::<_, Error>(Arc::new(HeaderChanges::new(Vec::new(), additions)))
    };
    let versions = XRateLimitHeadersRfcVersion::DraftVersion03;
    Ok(LocalRateLimit {
        stat_prefix: required_name(path, "stat_prefix", &stat_prefix)?,
        status: answer(&path.field("status"), status)?,
        bucket: token_bucket.map(|wire| bucket(&path.field("token_bucket"), wire)).transpose()?,
        enabled: share("filter_enabled", filter_enabled)?,
        enforced: share("filter_enforced", filter_enforced)?,
        request_headers: headers(
            "request_headers_to_add_when_not_enforced",
            request_headers_to_add_when_not_enforced,
        )?,
        response_headers: headers("response_headers_to_add", response_headers_to_add)?,
        x_ratelimit_headers: versions
            == enumeration(path, "enable_x_ratelimit_headers", enable_x_ratelimit_headers)?,
        resource_exhausted: rate_limited_as_resource_exhausted,
        retry_after: enable_retry_after_header,
    })
}

/// Less than 400 becomes 429, as in Envoy.
fn answer(path: &Path, status: Option<types::HttpStatus>) -> Result<StatusCode, Error> {
    let code = status.map_or(0, |status| status.code);
    let status = u16::try_from(code).ok().filter(|code| *code < 600);
    let status = status.ok_or_else(|| {
        path.field("code").error(format!("found {code}, expected a status of HTTP"))
    })?;
    let refused = StatusCode::from_u16(status).ok().filter(|_| status >= 400);
    Ok(refused.unwrap_or(StatusCode::TOO_MANY_REQUESTS))
}

fn bucket(path: &Path, wire: types::TokenBucket) -> Result<TokenBucket, Error> {
    let types::TokenBucket { max_tokens, tokens_per_fill, fill_interval } = wire;
    let fill_interval = duration(path, "fill_interval", fill_interval)?.unwrap_or_default();
    if fill_interval < SHORTEST_FILL {
        return Err(path
            .field("fill_interval")
            .error(format!("found {fill_interval:?}, expected at least {SHORTEST_FILL:?}")));
    }
    let tokens_per_fill = tokens_per_fill.unwrap_or(1);
    for (field, tokens) in [("max_tokens", max_tokens), ("tokens_per_fill", tokens_per_fill)] {
        if tokens == 0 {
            return Err(path.field(field).error("found 0, expected at least 1"));
        }
    }
    Ok(TokenBucket { max_tokens, tokens_per_fill, fill_interval })
}
