//! `trafficPolicy` of a `DestinationRule`: how connections are made, and to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_model::{LoadBalancing, Settings};

use super::destination_rule::{ConnectionPool, LoadBalancer, TrafficPolicy};
use super::{Findings, client_tls};

/// What the policy at `path` means, and for which ports it means something else.
pub(super) fn of(
    findings: &mut Findings<'_>,
    path: &str,
    policy: Option<&TrafficPolicy>,
) -> (Settings, BTreeMap<u16, Settings>) {
    let Some(policy) = policy else { return Default::default() };
    let settings = Settings {
        load_balancing: balancing(findings, path, policy.load_balancer.as_ref()),
        connect_timeout: connecting(findings, path, policy.connection_pool.as_ref()),
        tls: client_tls::of(findings, path, policy.tls.as_ref()),
    };
    let mut ports = BTreeMap::new();
    for (i, port) in policy.port_level_settings.iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{i}]");
        let settings = Settings {
            load_balancing: balancing(findings, &path, port.load_balancer.as_ref()),
            connect_timeout: connecting(findings, &path, port.connection_pool.as_ref()),
            tls: client_tls::of(findings, &path, port.tls.as_ref()),
        };
        let number = port.port.number;
        if ports.insert(number, settings).is_some() {
            findings.add(format!("{path}.port.number"), format!("{number} is there twice"));
        }
    }
    (settings, ports)
}

fn balancing(
    findings: &mut Findings<'_>,
    path: &str,
    balancer: Option<&LoadBalancer>,
) -> Option<LoadBalancing> {
    match balancer?.simple.as_deref()? {
        "UNSPECIFIED" => None,
        // The second is Istio's old name of the first.
        "LEAST_REQUEST" | "LEAST_CONN" => Some(LoadBalancing::LeastRequest),
        "ROUND_ROBIN" => Some(LoadBalancing::RoundRobin),
        "RANDOM" => Some(LoadBalancing::Random),
        other => {
            findings.add(
                format!("{path}.loadBalancer.simple"),
                format!(
                    "\"{other}\" is not supported; there are LEAST_REQUEST, ROUND_ROBIN, RANDOM"
                ),
            );
            None
        }
    }
}

fn connecting(
    findings: &mut Findings<'_>,
    path: &str,
    pool: Option<&ConnectionPool>,
) -> Option<Duration> {
    let tcp = pool?.tcp.as_ref()?;
    let path = format!("{path}.connectionPool.tcp.connectTimeout");
    let timeout = findings.duration(&path, tcp.connect_timeout.as_deref())?;
    if timeout.is_zero() {
        findings.add(path, "it must be more than 0");
    }
    Some(timeout)
}
