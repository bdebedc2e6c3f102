//! `RetryPolicy`.

use std::time::Duration;

use http::StatusCode;
use mesh_proto::envoy::config::route::v3 as proto;

use super::common::{positive, refuse_set, timeout};
use crate::config::{Error, Path, RetryOn, RetryPolicy};

/// Envoy's default base interval; the maximum is ten times the base.
const DEFAULT_BASE_INTERVAL: Duration = Duration::from_millis(25);

/// Envoy's `RetryPolicy`.
pub(super) fn retry_policy(policy: proto::RetryPolicy, path: &Path) -> Result<RetryPolicy, Error> {
    let proto::RetryPolicy {
        retry_on,
        num_retries,
        per_try_timeout,
        per_try_idle_timeout,
        retry_priority,
        retry_host_predicate,
        retry_options_predicates,
        host_selection_retry_max_attempts,
        retriable_status_codes,
        retry_back_off,
        rate_limited_retry_back_off,
        retriable_headers,
        retriable_request_headers,
        refresh_cluster_on_retry,
    } = policy;
    refuse_set!(
        path,
        RetryPolicy,
        per_try_idle_timeout,
        retry_priority,
        retry_host_predicate,
        retry_options_predicates,
        host_selection_retry_max_attempts,
        rate_limited_retry_back_off,
        retriable_headers,
        retriable_request_headers,
        refresh_cluster_on_retry,
    );
    Ok(RetryPolicy {
        on: conditions(&path.field("retry_on"), &retry_on)?,
        retries: num_retries.unwrap_or(1),
        per_try_timeout: timeout(path, "per_try_timeout", per_try_timeout, None)?,
        status_codes: status_codes(&path.field("retriable_status_codes"), &retriable_status_codes)?,
        back_off: back_off(&path.field("retry_back_off"), retry_back_off)?,
    })
}

fn conditions(path: &Path, list: &str) -> Result<RetryOn, Error> {
    let mut on = RetryOn::default();
    for condition in list.split(',').map(str::trim).filter(|condition| !condition.is_empty()) {
        let flag = match condition {
            "connect-failure" => &mut on.connect_failure,
            "refused-stream" => &mut on.refused_stream,
            "reset" => &mut on.reset,
            "reset-before-request" => &mut on.reset_before_request,
            "gateway-error" => &mut on.gateway_error,
            "5xx" => &mut on.server_error,
            "retriable-4xx" => &mut on.retriable_4xx,
            "retriable-status-codes" => &mut on.retriable_status_codes,
            "unavailable" => &mut on.grpc_unavailable,
            "cancelled" => &mut on.grpc_cancelled,
            other => {
                return Err(path.error(format!(
                    "found {other:?}, expected one of connect-failure, refused-stream, reset, \
                     reset-before-request, gateway-error, 5xx, retriable-4xx, \
                     retriable-status-codes, unavailable, cancelled"
                )));
            }
        };
        *flag = true;
    }
    Ok(on)
}

fn status_codes(path: &Path, codes: &[u32]) -> Result<Vec<StatusCode>, Error> {
    let code = |(index, code): (usize, &u32)| {
        let found = u16::try_from(*code).ok().and_then(|code| StatusCode::from_u16(code).ok());
        found.ok_or_else(|| {
            path.index(index).error(format!("found {code}, which is no HTTP status"))
        })
    };
    codes.iter().enumerate().map(code).collect()
}

fn back_off(
    path: &Path,
    wire: Option<proto::retry_policy::RetryBackOff>,
) -> Result<(Duration, Duration), Error> {
    let Some(proto::retry_policy::RetryBackOff { base_interval, max_interval }) = wire else {
        return Ok((DEFAULT_BASE_INTERVAL, DEFAULT_BASE_INTERVAL * 10));
    };
    let Some(base) = positive(path, "base_interval", base_interval)? else {
        return Err(path.field("base_interval").error("missing: it is required"));
    };
    let max = positive(path, "max_interval", max_interval)?.unwrap_or(base.saturating_mul(10));
    if max < base {
        return Err(path
            .field("max_interval")
            .error(format!("found {max:?}, expected at least the base_interval, {base:?}")));
    }
    Ok((base, max))
}
