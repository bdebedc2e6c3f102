//! `RetryPolicy`.

use std::time::Duration;

use http::StatusCode;
use mesh_proto::any;
use mesh_proto::envoy::config::route::v3 as proto;
use mesh_proto::envoy::extensions::retry::host::omit_canary_hosts::v3::OmitCanaryHostsPredicate;
use mesh_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use prost::Name as _;

use super::common::{decode, enumeration, positive, refuse_set, timeout, unknown_type};
use super::header::name_of_header;
use super::route_match::header_match;
use crate::config::{
    Error, HeaderMatch, Path, RateLimitedBackOff, ResetFormat, ResetHeader, RetryOn, RetryPolicy,
};

/// Envoy's default for what an upstream may ask to wait.
const DEFAULT_MAX_RESET: Duration = Duration::from_secs(300);

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
        retry_options_predicates,
        host_selection_retry_max_attempts,
        refresh_cluster_on_retry,
    );
    Ok(RetryPolicy {
        on: conditions(&path.field("retry_on"), &retry_on)?,
        retries: num_retries.unwrap_or(1),
        per_try_timeout: timeout(path, "per_try_timeout", per_try_timeout, None)?,
        status_codes: status_codes(&path.field("retriable_status_codes"), &retriable_status_codes)?,
        omit_canaries: omits_canaries(&path.field("retry_host_predicate"), retry_host_predicate)?,
        headers: header_matches(&path.field("retriable_headers"), retriable_headers)?,
        request_headers: header_matches(
            &path.field("retriable_request_headers"),
            retriable_request_headers,
        )?,
        back_off: back_off(&path.field("retry_back_off"), retry_back_off)?,
        rate_limited: rate_limited(
            &path.field("rate_limited_retry_back_off"),
            rate_limited_retry_back_off,
        )?,
    })
}

/// Whether canaries are omitted. `previous_hosts` says what is done always: a retry never goes
/// back to an endpoint that it has tried when there is another.
fn omits_canaries(
    path: &Path,
    predicates: Vec<proto::retry_policy::RetryHostPredicate>,
) -> Result<bool, Error> {
    use proto::retry_policy::retry_host_predicate::ConfigType;
    let mut omits = false;
    for (index, predicate) in predicates.into_iter().enumerate() {
        let path = path.index(index).field("typed_config");
        let proto::retry_policy::RetryHostPredicate { name: _, config_type } = predicate;
        let any = config_type.map(|ConfigType::TypedConfig(any)| any);
        let ours = [PreviousHostsPredicate::full_name(), OmitCanaryHostsPredicate::full_name()];
        match any.as_ref().map(|any| (any, any::type_name(&any.type_url))) {
            Some((any, name)) if name == ours[0] => {
                let PreviousHostsPredicate {} = decode(&path, any)?;
            }
            Some((any, name)) if name == ours[1] => {
                let OmitCanaryHostsPredicate {} = decode(&path, any)?;
                omits = true;
            }
            _ => return Err(unknown_type(&path, any.as_ref(), &ours)),
        }
    }
    Ok(omits)
}

fn conditions(path: &Path, list: &str) -> Result<RetryOn, Error> {
    let mut on = RetryOn::default();
    for condition in list.split(',').map(str::trim).filter(|condition| !condition.is_empty()) {
        if !on.add(condition) {
            let all = RetryOn::CONDITIONS;
            return Err(path.error(format!("found {condition:?}, expected one of {all}")));
        }
    }
    Ok(on)
}

fn header_matches(path: &Path, wire: Vec<proto::HeaderMatcher>) -> Result<Vec<HeaderMatch>, Error> {
    let one = |(index, wire)| header_match(wire, &path.index(index));
    wire.into_iter().enumerate().map(one).collect()
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
        return Ok(RetryPolicy::default().back_off);
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

fn rate_limited(
    path: &Path,
    wire: Option<proto::retry_policy::RateLimitedRetryBackOff>,
) -> Result<Option<RateLimitedBackOff>, Error> {
    use proto::retry_policy::{RateLimitedRetryBackOff, ResetHeaderFormat};
    let Some(RateLimitedRetryBackOff { reset_headers, max_interval }) = wire else {
        return Ok(None);
    };
    let list = path.field("reset_headers");
    if reset_headers.is_empty() {
        return Err(list.error("missing: at least one is required"));
    }
    let mut headers = Vec::with_capacity(reset_headers.len());
    for (index, header) in reset_headers.into_iter().enumerate() {
        let path = list.index(index);
        let proto::retry_policy::ResetHeader { name, format } = header;
        let format = match enumeration(&path, "format", format)? {
            ResetHeaderFormat::Seconds => ResetFormat::Seconds,
            ResetHeaderFormat::UnixTimestamp => ResetFormat::UnixTimestamp,
        };
        headers.push(ResetHeader { name: name_of_header(&path.field("name"), &name)?, format });
    }
    let max = positive(path, "max_interval", max_interval)?;
    Ok(Some(RateLimitedBackOff { headers, max: max.unwrap_or(DEFAULT_MAX_RESET) }))
}
