//! Outlier detection.

use std::time::Duration;

/// Envoy's `OutlierDetection`. The enforcing settings are how many percent of those that are
/// found are ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutlierDetection {
    pub(crate) consecutive_5xx: u32,
    pub(crate) consecutive_gateway_failure: u32,
    /// `consecutive_local_origin_failure`
    pub(crate) consecutive_local_failure: u32,
    /// `interval`: of looking at success rates, and at who comes back.
    pub(crate) interval: Duration,
    /// `base_ejection_time`, which gets longer with each ejection up to `max_ejection_time`.
    pub(crate) base_time: Duration,
    pub(crate) max_time: Duration,
    /// `max_ejection_time_jitter`
    pub(crate) max_jitter: Duration,
    /// `max_ejection_percent`
    pub(crate) max_percent: u32,
    /// `always_eject_one_host`, whatever percentage that is.
    pub(crate) always_one: bool,
    /// `success_rate_minimum_hosts`
    pub(crate) success_rate: VolumeSettings,
    /// `success_rate_stdev_factor`, in thousandths.
    pub(crate) stdev_factor: u32,
    pub(crate) failure_percentage: VolumeSettings,
    pub(crate) failure_percentage_threshold: u32,
    /// In the order of the reasons.
    pub(crate) enforcing: [u32; 7],
    /// `successful_active_health_check_uneject_host`, true by default.
    pub(crate) uneject_when_checked: bool,
    /// `split_external_local_origin_errors`
    pub(crate) split_local_errors: bool,
}

/// How many endpoints must have had how many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VolumeSettings {
    pub(crate) minimum_hosts: u32,
    pub(crate) request_volume: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway_failure: 5,
            consecutive_local_failure: 5,
            interval: Duration::from_secs(10),
            base_time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            max_jitter: Duration::ZERO,
            max_percent: 10,
            always_one: false,
            success_rate: VolumeSettings { minimum_hosts: 5, request_volume: 100 },
            stdev_factor: 1900,
            failure_percentage: VolumeSettings { minimum_hosts: 5, request_volume: 50 },
            failure_percentage_threshold: 85,
            enforcing: [100, 0, 100, 100, 100, 0, 0],
            uneject_when_checked: true,
            split_local_errors: false,
        }
    }
}
