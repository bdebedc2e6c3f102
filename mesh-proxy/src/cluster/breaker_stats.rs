//! What is told of a cluster's circuit breakers, under Envoy's names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::limits::{InUse, Limits};
use crate::config::{Breakers, RoutingPriority, Thresholds};
use crate::stats::{Derived, Registry};

/// `cluster.<name>.circuit_breakers.<priority>.*`, for as long as this is kept. Nothing is
/// counted for them: they are made of what is in use when somebody looks.
pub(crate) struct BreakerStats {
    _all: Vec<Derived>,
}

/// Name of "open", name of "remaining", what is in use, and its limit.
type Breaker = (&'static str, &'static str, fn(&InUse) -> &AtomicU32, fn(&Thresholds) -> u64);

const BREAKERS: [Breaker; 5] = [
    ("cx_open", "remaining_cx", |in_use| &in_use.connections, |max| max.max_connections.into()),
    ("cx_pool_open", "remaining_cx_pools", |in_use| &in_use.pools, pools),
    (
        "rq_pending_open",
        "remaining_pending",
        |in_use| &in_use.pending,
        |max| max.max_pending_requests.into(),
    ),
    ("rq_open", "remaining_rq", |in_use| &in_use.requests, |max| max.max_requests.into()),
    ("rq_retry_open", "remaining_retries", |in_use| &in_use.retries, |max| max.max_retries.into()),
];

/// Without a limit as many as can be told, as in Envoy.
fn pools(thresholds: &Thresholds) -> u64 {
    match thresholds.max_connection_pools {
        u32::MAX => u64::MAX,
        max => max.into(),
    }
}

impl BreakerStats {
    pub(super) fn new(
        registry: &Registry,
        cluster: &str,
        limits: &Arc<Limits>,
        breakers: &Breakers,
    ) -> Self {
        let mut all = Vec::new();
        for (name, priority) in
            [("default", RoutingPriority::Default), ("high", RoutingPriority::High)]
        {
            let thresholds = *breakers.of(priority);
            let full = |stat| format!("cluster.{cluster}.circuit_breakers.{name}.{stat}");
            for (open, remaining, of, max) in BREAKERS {
                let max = max(&thresholds);
                let in_use = || {
                    let limits = Arc::clone(limits);
                    move || u64::from(of(limits.of(priority)).load(Relaxed))
                };
                let now = in_use();
                // One that lets nothing through never has anything in use: Envoy does not
                // call it open.
                let value = move || u64::from(max > 0 && now() >= max);
                all.push(registry.derived(&full(open), value));
                if thresholds.track_remaining {
                    let now = in_use();
                    // What a budget leaves changes without anybody's doing: Envoy says 0.
                    let is_budget =
                        remaining == "remaining_retries" && thresholds.retry_budget.is_some();
                    let max = if is_budget { 0 } else { max };
                    let value = move || max.saturating_sub(now());
                    all.push(registry.derived(&full(remaining), value));
                }
            }
        }
        Self { _all: all }
    }
}
