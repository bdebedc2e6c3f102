//! The settings of load balancing policies, which are the same in both of their places.

use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::r#type::v3::Percent;

use super::common::{duration, not_honoured};
use crate::config::{Error, HashFunction, LbPolicy, LeastRequest, Path, RingHash, SlowStart};

/// Envoy's limit of the size of a ring.
const MAX_RING: u64 = 8 << 20;
/// Envoy's limit of the size of a Maglev table.
const MAX_TABLE: u64 = 5_000_011;

pub(super) fn least_request(
    path: &Path,
    choice_count: Option<u32>,
    bias: Option<core::RuntimeDouble>,
    full_scan: bool,
) -> Result<LbPolicy, Error> {
    let mut found = LeastRequest { full_scan, ..LeastRequest::default() };
    if let Some(count) = choice_count {
        if count < 2 {
            let message = format!("found {count}, expected 2 or more");
            return Err(path.field("choice_count").error(message));
        }
        found.choice_count = count;
    }
    if let Some(bias) = bias {
        found.bias = runtime_double(&path.field("active_request_bias"), bias)?;
    }
    Ok(LbPolicy::LeastRequest(found))
}

/// A number of zero or more: its default, as there is no runtime.
pub(super) fn runtime_double(path: &Path, value: core::RuntimeDouble) -> Result<f64, Error> {
    let core::RuntimeDouble { default_value, runtime_key: _ } = value;
    if default_value.is_finite() && default_value >= 0.0 {
        return Ok(default_value);
    }
    let path = path.field("default_value");
    Err(path.error(format!("found {default_value}, expected a number of zero or more")))
}

/// `slow_start_config`; without a window there is none.
pub(super) fn slow_start(
    path: &Path,
    window: Option<prost_types::Duration>,
    aggression: Option<core::RuntimeDouble>,
    min_weight_percent: Option<Percent>,
) -> Result<Option<SlowStart>, Error> {
    let window = duration(path, "slow_start_window", window)?.unwrap_or_default();
    let aggression = match aggression {
        None => 1.0,
        Some(aggression) => {
            let path = path.field("aggression");
            match runtime_double(&path, aggression)? {
                0.0 => return Err(path.field("default_value").error("found 0, expected more")),
                aggression => aggression,
            }
        }
    };
    let least = min_weight_percent.map(|least| {
        percent(&path.field("min_weight_percent"), least.value).map(|percent| percent / 100.0)
    });
    let least = least.transpose()?.unwrap_or(0.1);
    Ok((!window.is_zero()).then_some(SlowStart { window, aggression, least }))
}

/// `ring_hash_lb_config`, or `RingHash`.
pub(super) fn ring_hash(
    path: &Path,
    minimum: Option<u64>,
    maximum: Option<u64>,
    function: HashFunction,
) -> Result<LbPolicy, Error> {
    for (field, value) in [("minimum_ring_size", minimum), ("maximum_ring_size", maximum)] {
        if let Some(value) = value.filter(|value| !(1..=MAX_RING).contains(value)) {
            let message = format!("found {value}, expected 1 to {MAX_RING}");
            return Err(path.field(field).error(message));
        }
    }
    let (minimum, maximum) = (minimum.unwrap_or(1024), maximum.unwrap_or(MAX_RING));
    if minimum > maximum {
        let message = format!("found {minimum}, expected no more than the maximum, {maximum}");
        return Err(path.field("minimum_ring_size").error(message));
    }
    Ok(LbPolicy::RingHash(RingHash { minimum, maximum, function }))
}

/// `maglev_lb_config`, or `Maglev`.
pub(super) fn maglev(path: &Path, table_size: Option<u64>) -> Result<LbPolicy, Error> {
    let table_size = table_size.unwrap_or(65_537);
    if table_size > MAX_TABLE || !is_prime(table_size) {
        let message = format!("found {table_size}, expected a prime number up to {MAX_TABLE}");
        return Err(path.field("table_size").error(message));
    }
    Ok(LbPolicy::Maglev { table_size })
}

fn is_prime(number: u64) -> bool {
    let divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number > 1 && !divisors.into_iter().any(|divisor| number.is_multiple_of(divisor))
}

/// `hash_balance_factor`
pub(super) fn balance_factor(path: &Path, factor: Option<u32>) -> Result<Option<u32>, Error> {
    match factor {
        Some(factor) if factor < 100 => {
            let path = path.field("hash_balance_factor");
            Err(path.error(format!("found {factor}, expected 100 or more")))
        }
        factor => Ok(factor),
    }
}

/// Refuses `hash_policy`, the balancer's own: routes have theirs.
pub(super) fn no_hash_policy<P>(path: &Path, policies: &[P]) -> Result<(), Error> {
    match policies {
        [] => Ok(()),
        _ => Err(not_honoured(&path.field("hash_policy"))),
    }
}

/// A `Percent`.
pub(super) fn percent(path: &Path, value: f64) -> Result<f64, Error> {
    match value {
        0.0..=100.0 => Ok(value),
        _ => Err(path.field("value").error(format!("found {value}, expected from 0 to 100"))),
    }
}
