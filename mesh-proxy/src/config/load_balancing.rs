//! How the endpoints of a cluster share its requests.

use std::time::Duration;

use super::Subsets;

/// `lb_policy` or `load_balancing_policy`, and `common_lb_config`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoadBalancing {
    pub(crate) policy: LbPolicy,
    /// `healthy_panic_threshold`, in percent: a priority of which fewer endpoints are healthy
    /// uses all of them. 50 by default, 0 turns it off.
    pub(crate) panic_threshold: u32,
    /// `locality_weighted_lb_config`
    pub(crate) by_locality: bool,
    /// `ignore_new_hosts_until_first_hc`: an endpoint that was never checked counts for
    /// nothing, also not against the health of its priority.
    pub(crate) ignore_unchecked: bool,
    /// `fail_traffic_on_panic`
    pub(crate) fail_on_panic: bool,
    pub(crate) hashing: Hashing,
    /// `slow_start_config`, of ROUND_ROBIN and LEAST_REQUEST.
    pub(crate) slow_start: Option<SlowStart>,
    pub(crate) subsets: Option<Subsets>,
}

/// Envoy's `SlowStartConfig`: an endpoint that has just become healthy weighs less than it
/// will.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SlowStart {
    /// `slow_start_window`, more than zero.
    pub(crate) window: Duration,
    /// `aggression`, 1 by default: the weight grows with this root of the time.
    pub(crate) aggression: f64,
    /// `min_weight_percent` as a part of one, 0.1 by default.
    pub(crate) least: f64,
}

impl SlowStart {
    /// Which part of its weight an endpoint has that is healthy for this long.
    pub(crate) fn factor(&self, healthy: Duration) -> f64 {
        if healthy >= self.window {
            return 1.0;
        }
        let time = healthy.as_secs_f64().max(0.001) / self.window.as_secs_f64();
        time.powf(1.0 / self.aggression).max(self.least)
    }
}

/// `consistent_hashing_lb_config`, for policies that hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hashing {
    /// `use_hostname_for_hashing`: an endpoint's host name in its address's place.
    pub(crate) use_hostname: bool,
    /// `hash_balance_factor`: in percent of the average, how many requests an endpoint may
    /// have at work before others get some of its. At least 100.
    pub(crate) balance_factor: Option<u32>,
}

/// The policies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LbPolicy {
    RoundRobin,
    LeastRequest(LeastRequest),
    Random,
    RingHash(RingHash),
    /// `table_size`, a prime number; 65537 by default.
    Maglev {
        table_size: u64,
    },
    /// CLUSTER_PROVIDED, for ORIGINAL_DST.
    ClusterProvided,
}

/// Envoy's `LeastRequest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LeastRequest {
    /// `choice_count`: the best of so many picks, two by default.
    pub(crate) choice_count: u32,
    /// `selection_method` FULL_SCAN: the best of all.
    pub(crate) full_scan: bool,
    /// `active_request_bias`, 1 by default: the power to which active requests count
    /// against the weight.
    pub(crate) bias: f64,
}

/// Envoy's `RingHash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingHash {
    /// `minimum_ring_size`, 1024 by default.
    pub(crate) minimum: u64,
    /// `maximum_ring_size`, 8 Mi by default. Not less than the minimum.
    pub(crate) maximum: u64,
    pub(crate) function: HashFunction,
}

/// `hash_function` of a ring: where the endpoints are on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashFunction {
    Xx,
    Murmur2,
}

impl LbPolicy {
    /// Whether a request's hash chooses.
    pub(crate) fn hashes(&self) -> bool {
        matches!(self, Self::RingHash(_) | Self::Maglev { .. })
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { choice_count: 2, full_scan: false, bias: 1.0 }
    }
}

impl LoadBalancing {
    /// A policy with Envoy's defaults of everything else.
    pub(crate) fn by(policy: LbPolicy) -> Self {
        Self {
            policy,
            panic_threshold: 50,
            by_locality: false,
            ignore_unchecked: false,
            fail_on_panic: false,
            hashing: Hashing::default(),
            slow_start: None,
            subsets: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_grows_with_time() {
        let window = Duration::from_secs(10);
        let linear = SlowStart { window, aggression: 1.0, least: 0.1 };
        let at = |slow: SlowStart, seconds| slow.factor(Duration::from_secs_f64(seconds));
        assert_eq!((at(linear, 0.0), at(linear, 5.0), at(linear, 10.0)), (0.1, 0.5, 1.0));
        let square = SlowStart { aggression: 0.5, ..linear };
        assert_eq!(at(square, 5.0), 0.25);
    }
}
