//! `CircuitBreakers`.

use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::config::cluster::v3::circuit_breakers as wire;
use mesh_proto::envoy::config::core::v3::RoutingPriority;

use super::common::{enumeration, refuse_set};
use super::lb_settings::percent;
use crate::config::{Breakers, Error, Path, RetryBudget, Thresholds};

/// Of several thresholds for a priority the first counts.
pub(super) fn breakers(
    path: &Path,
    breakers: Option<proto::CircuitBreakers>,
) -> Result<Breakers, Error> {
    let path = path.field("circuit_breakers");
    let proto::CircuitBreakers { thresholds, per_host_thresholds } = breakers.unwrap_or_default();
    let (default, high) = by_priority(&path.field("thresholds"), thresholds, of_cluster)?;
    let per_host = path.field("per_host_thresholds");
    let (default_per_host, high_per_host) = by_priority(&per_host, per_host_thresholds, of_host)?;
    let both = |thresholds: Option<Thresholds>, per_host: Option<Option<u32>>| Thresholds {
        max_connections_per_host: per_host.flatten().unwrap_or(u32::MAX),
        ..thresholds.unwrap_or_default()
    };
    Ok(Breakers { default: both(default, default_per_host), high: both(high, high_per_host) })
}

/// What there is for the default priority, and for the high one.
fn by_priority<T>(
    path: &Path,
    all: Vec<wire::Thresholds>,
    read: fn(&Path, wire::Thresholds) -> Result<T, Error>,
) -> Result<(Option<T>, Option<T>), Error> {
    let (mut default, mut high) = (None, None);
    for (index, wire) in all.into_iter().enumerate() {
        let path = path.index(index);
        let place = match enumeration(&path, "priority", wire.priority)? {
            RoutingPriority::Default => &mut default,
            RoutingPriority::High => &mut high,
        };
        let found = read(&path, wire)?;
        place.get_or_insert(found);
    }
    Ok((default, high))
}

fn of_cluster(path: &Path, wire: wire::Thresholds) -> Result<Thresholds, Error> {
    let wire::Thresholds {
        priority: _,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        track_remaining,
        max_connection_pools,
    } = wire;
    let defaults = Thresholds::default();
    Ok(Thresholds {
        max_connections: max_connections.unwrap_or(defaults.max_connections),
        max_pending_requests: max_pending_requests.unwrap_or(defaults.max_pending_requests),
        max_requests: max_requests.unwrap_or(defaults.max_requests),
        max_retries: max_retries.unwrap_or(defaults.max_retries),
        retry_budget: retry_budget
            .map(|budget| self::retry_budget(&path.field("retry_budget"), budget))
            .transpose()?,
        max_connection_pools: max_connection_pools.unwrap_or(defaults.max_connection_pools),
        track_remaining,
        ..defaults
    })
}

fn retry_budget(path: &Path, budget: wire::thresholds::RetryBudget) -> Result<RetryBudget, Error> {
    let wire::thresholds::RetryBudget { budget_percent, budget_interval, min_retry_concurrency } =
        budget;
    refuse_set!(path, RetryBudget, budget_interval);
    let share = budget_percent.map(|share| percent(&path.field("budget_percent"), share.value));
    Ok(RetryBudget {
        percent: share.transpose()?.unwrap_or(20.0),
        min: min_retry_concurrency.unwrap_or(3),
    })
}

/// Envoy takes nothing but the connections here.
fn of_host(path: &Path, wire: wire::Thresholds) -> Result<Option<u32>, Error> {
    let wire::Thresholds {
        priority: _,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        track_remaining,
        max_connection_pools,
    } = wire;
    refuse_set!(
        path,
        PerHostThresholds,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        track_remaining,
        max_connection_pools,
    );
    Ok(max_connections)
}
