//! How the endpoints of a cluster share its requests.

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
        }
    }
}
