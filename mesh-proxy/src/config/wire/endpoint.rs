//! `ClusterLoadAssignment` and its parts.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3 as proto;

use super::common::{enumeration, host_and_port, ip, not_honoured, refuse_set, required_name};
use super::transport_socket::endpoint_labels;
use super::{health_check, metadata};
use crate::config::{
    AssignmentPolicy, Endpoint, EndpointHealth, Error, LoadAssignment, Locality, Path,
};

/// Envoy's limit of `priority`.
const MAX_PRIORITY: u32 = 128;

/// Where `envoy.lb`, a filter's name that no filter has, is among the metadata.
const LB_METADATA: &str = "envoy.lb";

/// An endpoint whose address may still be a name.
pub(super) struct NamedEndpoint {
    pub(super) path: Path,
    pub(super) host: String,
    /// The port, and everything else.
    pub(super) template: Endpoint,
}

/// Endpoints that are all IP addresses. An address that occurs twice counts once.
pub(crate) fn load_assignment(
    assignment: proto::ClusterLoadAssignment,
    path: &Path,
) -> Result<LoadAssignment, Error> {
    let mut seen = HashSet::new();
    let mut endpoints = Vec::new();
    let (named, policy) = named_endpoints(assignment, path)?;
    for NamedEndpoint { path, host, template } in named {
        let address = SocketAddr::new(ip(&path, &host)?, template.address.port());
        if seen.insert(address) {
            endpoints.push(Endpoint { address, ..template });
        }
    }
    Ok(LoadAssignment { endpoints, policy })
}

/// The Unix socket that is the one endpoint of a static cluster.
pub(super) fn pipe(
    assignment: &proto::ClusterLoadAssignment,
    path: &Path,
) -> Result<Option<PathBuf>, Error> {
    use core::address::Address::Pipe;
    use proto::lb_endpoint::HostIdentifier;
    let [locality] = &assignment.endpoints[..] else { return Ok(None) };
    let [only] = &locality.lb_endpoints[..] else { return Ok(None) };
    let Some(HostIdentifier::Endpoint(endpoint)) = &only.host_identifier else { return Ok(None) };
    let address = endpoint.address.as_ref().and_then(|address| address.address.as_ref());
    let Some(Pipe(core::Pipe { path: file, mode: _ })) = address else { return Ok(None) };
    let path = path.field("endpoints[0].lb_endpoints[0].endpoint.address.pipe");
    // `mode` is for whoever listens.
    match file.starts_with('/') {
        true => Ok(Some(file.into())),
        false => Err(path.field("path").error(format!("found {file:?}, expected /PATH"))),
    }
}

/// Endpoints whose addresses may be names, for DNS.
pub(super) fn named_endpoints(
    assignment: proto::ClusterLoadAssignment,
    path: &Path,
) -> Result<(Vec<NamedEndpoint>, AssignmentPolicy), Error> {
    let proto::ClusterLoadAssignment { cluster_name, endpoints, named_endpoints, policy } =
        assignment;
    required_name(path, "cluster_name", &cluster_name)?;
    refuse_set!(path, ClusterLoadAssignment, named_endpoints);
    let policy = assignment_policy(&path.field("policy"), policy)?;
    let mut all = Vec::new();
    for (index, locality) in endpoints.into_iter().enumerate() {
        locality_endpoints(locality, &path.field("endpoints").index(index), &mut all)?;
    }
    Ok((all, policy))
}

fn assignment_policy(
    path: &Path,
    policy: Option<proto::cluster_load_assignment::Policy>,
) -> Result<AssignmentPolicy, Error> {
    let mut found = AssignmentPolicy::default();
    let Some(policy) = policy else { return Ok(found) };
    let proto::cluster_load_assignment::Policy {
        drop_overloads,
        overprovisioning_factor,
        endpoint_stale_after,
        weighted_priority_health,
    } = policy;
    refuse_set!(path, ClusterLoadAssignment, drop_overloads, endpoint_stale_after);
    if overprovisioning_factor == Some(0) {
        return Err(path.field("overprovisioning_factor").error("found 0, expected 1 or more"));
    }
    if let Some(factor) = overprovisioning_factor {
        found.overprovisioning_factor = factor;
    }
    found.weighted_priority_health = weighted_priority_health;
    Ok(found)
}

fn locality_endpoints(
    endpoints: proto::LocalityLbEndpoints,
    path: &Path,
    all: &mut Vec<NamedEndpoint>,
) -> Result<(), Error> {
    let proto::LocalityLbEndpoints {
        locality,
        metadata,
        lb_endpoints,
        load_balancing_weight,
        priority,
        proximity,
        lb_config,
    } = endpoints;
    refuse_set!(path, LocalityLbEndpoints, metadata, proximity, lb_config);
    if priority > MAX_PRIORITY {
        let message = format!("found {priority}, expected 0 to {MAX_PRIORITY}");
        return Err(path.field("priority").error(message));
    }
    let weight = match load_balancing_weight {
        Some(0) => return Err(weightless(path)),
        weight => weight.unwrap_or_default(),
    };
    let core::Locality { region, zone, sub_zone } = locality.unwrap_or_default();
    let [region, zone, sub_zone] = [region, zone, sub_zone].map(Into::into);
    let locality = Arc::new(Locality { region, zone, sub_zone, weight });
    for (index, endpoint) in lb_endpoints.into_iter().enumerate() {
        let mut named = lb_endpoint(endpoint, &path.field("lb_endpoints").index(index))?;
        named.template.priority = priority;
        named.template.locality = Arc::clone(&locality);
        all.push(named);
    }
    Ok(())
}

fn weightless(path: &Path) -> Error {
    path.field("load_balancing_weight").error("found 0, expected 1 or more")
}

fn lb_endpoint(endpoint: proto::LbEndpoint, path: &Path) -> Result<NamedEndpoint, Error> {
    use core::HealthStatus;
    let proto::LbEndpoint { health_status, metadata, load_balancing_weight, host_identifier } =
        endpoint;
    let health = match enumeration(path, "health_status", health_status)? {
        HealthStatus::Unknown | HealthStatus::Healthy => EndpointHealth::Healthy,
        HealthStatus::Degraded => EndpointHealth::Degraded,
        HealthStatus::Unhealthy => EndpointHealth::Unhealthy,
        HealthStatus::Timeout => EndpointHealth::Timeout,
        HealthStatus::Draining => EndpointHealth::Draining,
    };
    if load_balancing_weight == Some(0) {
        return Err(weightless(path));
    }
    let mut named = match host_identifier {
        Some(proto::lb_endpoint::HostIdentifier::Endpoint(endpoint)) => {
            endpoint_address(endpoint, &path.field("endpoint"))?
        }
        Some(proto::lb_endpoint::HostIdentifier::EndpointName(_)) => {
            return Err(not_honoured(&path.field("endpoint_name")));
        }
        None => return Err(path.field("endpoint").error("missing: it is required")),
    };
    named.template = Endpoint {
        weight: load_balancing_weight.unwrap_or(1),
        health,
        lb_labels: metadata::of_filter(metadata.as_ref(), LB_METADATA),
        labels: endpoint_labels(metadata),
        ..named.template
    };
    Ok(named)
}

fn endpoint_address(endpoint: proto::Endpoint, path: &Path) -> Result<NamedEndpoint, Error> {
    let proto::Endpoint {
        address,
        health_check_config,
        hostname,
        additional_addresses,
        observability_name,
    } = endpoint;
    refuse_set!(path, Endpoint, additional_addresses, observability_name);
    let health_check = health_check_config
        .map(|config| health_check::of_endpoint(&path.field("health_check_config"), config))
        .transpose()?;
    let (host, port, path) = host_and_port(&path.field("address"), address)?;
    if port == 0 {
        return Err(path.field("port_value").error("found 0, expected a port from 1 to 65535"));
    }
    let mut template = Endpoint::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    template.health_check = health_check.map(Arc::new);
    template.hostname = (!hostname.is_empty()).then(|| hostname.into());
    Ok(NamedEndpoint { path: path.field("address"), host, template })
}
