//! `OutlierDetection`.

use mesh_proto::envoy::config::cluster::v3 as proto;

use super::common::{duration, positive, refuse_set};
use crate::config::{Error, OutlierDetection, Path, VolumeSettings};

pub(super) fn outlier_detection(
    path: &Path,
    wire: proto::OutlierDetection,
) -> Result<OutlierDetection, Error> {
    let proto::OutlierDetection {
        consecutive_5xx,
        interval,
        base_ejection_time,
        max_ejection_percent,
        enforcing_consecutive_5xx,
        enforcing_success_rate,
        success_rate_minimum_hosts,
        success_rate_request_volume,
        success_rate_stdev_factor,
        consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure,
        split_external_local_origin_errors,
        consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate,
        failure_percentage_threshold,
        enforcing_failure_percentage,
        enforcing_failure_percentage_local_origin,
        failure_percentage_minimum_hosts,
        failure_percentage_request_volume,
        max_ejection_time,
        max_ejection_time_jitter,
        successful_active_health_check_uneject_host,
        monitors,
        always_eject_one_host,
        detect_degraded_hosts,
    } = wire;
    let detect_degraded_hosts = detect_degraded_hosts == Some(true);
    refuse_set!(path, OutlierDetection, monitors, detect_degraded_hosts,);
    let default = OutlierDetection::default();
    let percent = |field: &str, value: Option<u32>, default: u32| match value {
        Some(value) if value > 100 => {
            Err(path.field(field).error(format!("found {value}, expected 0 to 100")))
        }
        value => Ok(value.unwrap_or(default)),
    };
    let [consecutive, gateway, local, rate, local_rate, failures, local_failures] =
        default.enforcing;
    let enforcing = [
        percent("enforcing_consecutive_5xx", enforcing_consecutive_5xx, consecutive)?,
        percent(
            "enforcing_consecutive_gateway_failure",
            enforcing_consecutive_gateway_failure,
            gateway,
        )?,
        percent(
            "enforcing_consecutive_local_origin_failure",
            enforcing_consecutive_local_origin_failure,
            local,
        )?,
        percent("enforcing_success_rate", enforcing_success_rate, rate)?,
        percent(
            "enforcing_local_origin_success_rate",
            enforcing_local_origin_success_rate,
            local_rate,
        )?,
        percent("enforcing_failure_percentage", enforcing_failure_percentage, failures)?,
        percent(
            "enforcing_failure_percentage_local_origin",
            enforcing_failure_percentage_local_origin,
            local_failures,
        )?,
    ];
    let base_time =
        positive(path, "base_ejection_time", base_ejection_time)?.unwrap_or(default.base_time);
    let max_time = positive(path, "max_ejection_time", max_ejection_time)?
        .unwrap_or_else(|| default.max_time.max(base_time));
    if max_time < base_time {
        let message = format!("found {max_time:?}, expected base_ejection_time or more");
        return Err(path.field("max_ejection_time").error(message));
    }
    let volumes =
        |hosts: Option<u32>, requests: Option<u32>, default: VolumeSettings| VolumeSettings {
            minimum_hosts: hosts.unwrap_or(default.minimum_hosts),
            request_volume: requests.unwrap_or(default.request_volume),
        };
    Ok(OutlierDetection {
        consecutive_5xx: consecutive_5xx.unwrap_or(default.consecutive_5xx),
        consecutive_gateway_failure: consecutive_gateway_failure
            .unwrap_or(default.consecutive_gateway_failure),
        consecutive_local_failure: consecutive_local_origin_failure
            .unwrap_or(default.consecutive_local_failure),
        interval: positive(path, "interval", interval)?.unwrap_or(default.interval),
        base_time,
        max_time,
        max_jitter: duration(path, "max_ejection_time_jitter", max_ejection_time_jitter)?
            .unwrap_or(default.max_jitter),
        max_percent: percent("max_ejection_percent", max_ejection_percent, default.max_percent)?,
        always_one: always_eject_one_host == Some(true),
        success_rate: volumes(
            success_rate_minimum_hosts,
            success_rate_request_volume,
            default.success_rate,
        ),
        stdev_factor: success_rate_stdev_factor.unwrap_or(default.stdev_factor),
        failure_percentage: volumes(
            failure_percentage_minimum_hosts,
            failure_percentage_request_volume,
            default.failure_percentage,
        ),
        failure_percentage_threshold: percent(
            "failure_percentage_threshold",
            failure_percentage_threshold,
            default.failure_percentage_threshold,
        )?,
        uneject_when_checked: successful_active_health_check_uneject_host != Some(false),
        enforcing,
        split_local_errors: split_external_local_origin_errors,
    })
}
