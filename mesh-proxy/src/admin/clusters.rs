//! `/clusters`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use regex::Regex;
use serde_json::{Value, json};

use super::Pages;
use super::listeners::address;
use crate::cluster::Cluster;
use crate::config::{EndpointHealth, Locality, RoutingPriority};
use crate::endpoint::{Endpoint, Flag, Member};

/// Writing to a String cannot fail, so the results are dropped.
macro_rules! line {
    ($page:expr, $($arguments:tt)*) => {{ let _ = writeln!($page, $($arguments)*); }};
}

/// Envoy's text: `cluster::property::value` and `cluster::endpoint::property::value`.
pub(super) fn text(pages: &Pages, filter: Option<&Regex>) -> String {
    let mut page = String::new();
    let shared = pages.data_plane.shared();
    shared.clusters.visit(&mut |cluster| {
        let name = &cluster.config.name;
        if !is_wanted(filter, name) {
            return;
        }
        line!(page, "{name}::observability_name::{}", cluster.config.stat_name);
        for (priority, _, limits) in limits(cluster) {
            for (property, limit) in limits {
                line!(page, "{name}::{priority}::{property}::{limit}");
            }
        }
        line!(page, "{name}::added_via_api::{}", is_dynamic(pages, name));
        for (kind, rates) in RATES.into_iter().zip(cluster.success_rates().into_iter().flatten()) {
            let (average, threshold) = rates.get();
            line!(page, "{name}::outlier::{kind}_average::{}", rate(average));
            line!(page, "{name}::outlier::{kind}_ejection_threshold::{}", rate(threshold));
        }
        cluster.visit(&mut |member| {
            let Member { endpoint, config } = member;
            let prefix = format!("{name}::{}", endpoint.address);
            for (property, value, _) in numbers(endpoint) {
                line!(page, "{prefix}::{property}::{value}");
            }
            line!(page, "{prefix}::hostname::{}", config.hostname.as_deref().unwrap_or_default());
            line!(page, "{prefix}::health_flags::{}", health_flags(member));
            line!(page, "{prefix}::weight::{}", config.weight);
            let locality = &config.locality;
            line!(page, "{prefix}::region::{}", locality.region);
            line!(page, "{prefix}::zone::{}", locality.zone);
            line!(page, "{prefix}::sub_zone::{}", locality.sub_zone);
            line!(page, "{prefix}::canary::{}", config.is_canary());
            line!(page, "{prefix}::priority::{}", config.priority);
            for (kind, value) in RATES.into_iter().zip(success_rates(endpoint)) {
                line!(page, "{prefix}::{kind}::{}", rate(value));
            }
        });
    });
    page
}

/// In the shape of Envoy's `Clusters`.
pub(super) fn json(pages: &Pages, filter: Option<&Regex>) -> Value {
    let mut statuses = Vec::new();
    let shared = pages.data_plane.shared();
    shared.clusters.visit(&mut |cluster| {
        if !is_wanted(filter, &cluster.config.name) {
            return;
        }
        let mut hosts = Vec::new();
        cluster.visit(&mut |member| hosts.push(host(member)));
        let thresholds = limits(cluster).map(|(_, priority, limits)| {
            let mut limits: serde_json::Map<String, Value> =
                limits.map(|(name, limit)| (name.to_owned(), limit.into())).into_iter().collect();
            // The default is left out, as in all JSON of protobuf.
            if let Some(priority) = priority {
                limits.insert("priority".to_owned(), priority.into());
            }
            limits
        });
        statuses.push(json!({
            "name": &*cluster.config.name,
            "added_via_api": is_dynamic(pages, &cluster.config.name),
            "host_statuses": hosts,
            "circuit_breakers": { "thresholds": thresholds },
            "observability_name": &*cluster.config.stat_name,
        }));
    });
    json!({ "cluster_statuses": statuses })
}

fn host(member: &Member) -> Value {
    let Member { endpoint, config } = member;
    let stats = numbers(endpoint).into_iter().map(|(name, value, is_gauge)| {
        // A protobuf number of 64 bits is a text in JSON.
        let value = value.to_string();
        if is_gauge {
            json!({ "name": name, "value": value, "type": "GAUGE" })
        } else {
            json!({ "name": name, "value": value })
        }
    });
    let health = match config.health {
        EndpointHealth::Healthy => "HEALTHY",
        EndpointHealth::Degraded => "DEGRADED",
        EndpointHealth::Unhealthy => "UNHEALTHY",
        EndpointHealth::Timeout => "TIMEOUT",
        EndpointHealth::Draining => "DRAINING",
    };
    let mut status = json!({ "eds_health_status": health });
    for (flag, name) in STATUS {
        if endpoint.standing.has(flag) {
            status[name] = true.into();
        }
    }
    let mut host = json!({
        "address": address(endpoint.address),
        "stats": stats.collect::<Vec<_>>(),
        "health_status": status,
        "weight": config.weight,
        "locality": locality(&config.locality),
    });
    // What has its default is left out, as in all JSON of protobuf.
    if let Some(hostname) = &config.hostname {
        host["hostname"] = (&**hostname).into();
    }
    for (kind, value) in RATES.into_iter().zip(success_rates(endpoint)) {
        if value >= 0.0 {
            host[kind] = json!({ "value": value });
        }
    }
    if config.priority > 0 {
        host["priority"] = config.priority.into();
    }
    host
}

fn locality(locality: &Locality) -> Value {
    let fields = ["region", "zone", "sub_zone"].into_iter().zip(locality.names());
    fields.filter(|(_, name)| !name.is_empty()).map(|(key, name)| (key, name.to_owned())).collect()
}

fn is_wanted(filter: Option<&Regex>, name: &str) -> bool {
    filter.is_none_or(|filter| filter.is_match(name))
}

fn is_dynamic(pages: &Pages, name: &str) -> bool {
    pages.state().clusters().get(name).is_some_and(|entry| !entry.is_static)
}

fn health_flags(member: &Member) -> String {
    let flags = member.flags();
    match flags.is_empty() {
        true => "healthy".to_owned(),
        false => flags.iter().map(|flag| format!("/{flag}")).collect(),
    }
}

/// What is found out about an endpoint, as `HostHealthStatus` has it.
const STATUS: [(Flag, &str); 7] = [
    (Flag::FailedActiveCheck, "failed_active_health_check"),
    (Flag::FailedOutlierCheck, "failed_outlier_check"),
    (Flag::DegradedActiveCheck, "failed_active_degraded_check"),
    (Flag::PendingRemoval, "pending_dynamic_removal"),
    (Flag::PendingActiveCheck, "pending_active_hc"),
    (Flag::Excluded, "excluded_via_immediate_hc_fail"),
    (Flag::ActiveCheckTimeout, "active_hc_timeout"),
];

/// The names of both success rates.
const RATES: [&str; 2] = ["success_rate", "local_origin_success_rate"];

/// Of answers and of connections; -1 when there were too few.
fn success_rates(endpoint: &Endpoint) -> [f64; 2] {
    let monitor = endpoint.standing.known_monitor();
    monitor.map_or([-1.0; 2], |monitor| [monitor.external.shown(), monitor.local.shown()])
}

/// As Envoy writes it.
fn rate(value: f64) -> String {
    if value < 0.0 { "-1".to_owned() } else { value.to_string() }
}

type Limits = [(&'static str, u32); 4];

/// Of both priorities: their name in text and in JSON.
fn limits(cluster: &Cluster) -> [(&'static str, Option<&'static str>, Limits); 2] {
    let of = |priority| {
        let thresholds = cluster.thresholds(priority);
        [
            ("max_connections", thresholds.max_connections),
            ("max_pending_requests", thresholds.max_pending_requests),
            ("max_requests", thresholds.max_requests),
            ("max_retries", thresholds.max_retries),
        ]
    };
    [
        ("default_priority", None, of(RoutingPriority::Default)),
        ("high_priority", Some("HIGH"), of(RoutingPriority::High)),
    ]
}

/// Name, value, and whether it is a gauge.
fn numbers(endpoint: &Endpoint) -> [(&'static str, u64, bool); 9] {
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let stats = &endpoint.stats;
    [
        ("cx_connect_fail", read(&stats.cx_connect_fail), false),
        ("cx_total", read(&stats.cx_total), false),
        ("rq_error", read(&stats.rq_error), false),
        ("rq_success", read(&stats.rq_success), false),
        ("rq_timeout", read(&stats.rq_timeout), false),
        ("rq_total", read(&stats.rq_total), false),
        ("cx_active", read(&stats.cx_active), true),
        ("rq_active", read(&stats.rq_active), true),
        ("rq_pending_active", read(&stats.rq_pending_active), true),
    ]
}
