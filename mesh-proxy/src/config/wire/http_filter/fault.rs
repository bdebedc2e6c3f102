//! `HTTPFault`.

use http::StatusCode;
use mesh_proto::envoy::extensions::filters::common::fault::v3 as common;
use mesh_proto::envoy::extensions::filters::http::fault::v3 as proto;
use mesh_proto::envoy::r#type::v3 as types;

use crate::config::wire::common::{positive, refuse_set};
use crate::config::wire::fraction::fraction;
use crate::config::wire::route_match::header_matches;
use crate::config::{
    AbortStatus, Error, Fault, FaultAbort, FaultDelay, FaultKind, FaultRate, Fraction, Path,
};

/// Envoy's `HTTPFault`.
pub(super) fn fault(path: &Path, wire: proto::HttpFault) -> Result<Fault, Error> {
    let proto::HttpFault {
        delay,
        abort,
        upstream_cluster,
        headers,
        downstream_nodes,
        max_active_faults,
        response_rate_limit,
        delay_percent_runtime,
        abort_percent_runtime,
        delay_duration_runtime,
        abort_http_status_runtime,
        max_active_faults_runtime,
        response_rate_limit_percent_runtime,
        abort_grpc_status_runtime,
        disable_downstream_cluster_stats,
        filter_metadata,
    } = wire;
    refuse_set!(
        path,
        HttpFault,
        delay_percent_runtime,
        abort_percent_runtime,
        delay_duration_runtime,
        abort_http_status_runtime,
        max_active_faults_runtime,
        response_rate_limit_percent_runtime,
        abort_grpc_status_runtime,
        disable_downstream_cluster_stats,
        filter_metadata,
    );
    Ok(Fault {
        delay: delay.map(|wire| fault_delay(&path.field("delay"), wire)).transpose()?,
        abort: abort.map(|wire| fault_abort(&path.field("abort"), wire)).transpose()?,
        rate: response_rate_limit
            .map(|wire| rate_limit(&path.field("response_rate_limit"), wire))
            .transpose()?,
        upstream_cluster: (!upstream_cluster.is_empty()).then(|| upstream_cluster.into()),
        headers: header_matches(&path.field("headers"), headers)?,
        downstream_nodes,
        max_active: max_active_faults.map(u64::from),
    })
}

fn fault_delay(path: &Path, wire: common::FaultDelay) -> Result<FaultDelay, Error> {
    use common::fault_delay::FaultDelaySecifier as Delay;
    let common::FaultDelay { percentage, fault_delay_secifier } = wire;
    let fixed = match fault_delay_secifier {
        Some(Delay::FixedDelay(delay)) => positive(path, "fixed_delay", Some(delay))?,
        Some(Delay::HeaderDelay(common::fault_delay::HeaderDelay {})) => None,
        None => return Err(path.error("missing: expected fixed_delay or header_delay")),
    };
    Ok(FaultKind { fixed, share: share(path, percentage)? })
}

fn fault_abort(path: &Path, wire: proto::FaultAbort) -> Result<FaultAbort, Error> {
    use proto::fault_abort::{ErrorType, HeaderAbort};
    let proto::FaultAbort { percentage, response_body, error_type } = wire;
    let fixed = match error_type {
        Some(ErrorType::HttpStatus(status)) => Some(AbortStatus::Http(http_status(path, status)?)),
        Some(ErrorType::GrpcStatus(status)) => Some(AbortStatus::Grpc(status)),
        Some(ErrorType::HeaderAbort(HeaderAbort {})) => None,
        None => {
            return Err(path.error("missing: expected http_status, grpc_status or header_abort"));
        }
    };
    let body = match response_body.is_empty() {
        true => "fault filter abort".into(),
        false => response_body.into(),
    };
    Ok(FaultAbort { kind: FaultKind { fixed, share: share(path, percentage)? }, body })
}

fn http_status(path: &Path, status: u32) -> Result<StatusCode, Error> {
    let code = u16::try_from(status).ok().filter(|code| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| {
        path.field("http_status").error(format!("found {status}, expected 200 to 599"))
    })
}

fn rate_limit(path: &Path, wire: common::FaultRateLimit) -> Result<FaultRate, Error> {
    use common::fault_rate_limit::{FixedLimit, HeaderLimit, LimitType};
    let common::FaultRateLimit { percentage, limit_type } = wire;
    let fixed = match limit_type {
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps: 0 })) => {
            let path = path.field("fixed_limit").field("limit_kbps");
            return Err(path.error("found 0, expected at least 1"));
        }
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps })) => Some(limit_kbps),
        Some(LimitType::HeaderLimit(HeaderLimit {})) => None,
        None => return Err(path.error("missing: expected fixed_limit or header_limit")),
    };
    Ok(FaultKind { fixed, share: share(path, percentage)? })
}

/// Envoy's default is none.
fn share(path: &Path, wire: Option<types::FractionalPercent>) -> Result<Fraction, Error> {
    match wire {
        Some(wire) => fraction(wire, &path.field("percentage")),
        None => Ok(Fraction { numerator: 0, denominator: 100 }),
    }
}
