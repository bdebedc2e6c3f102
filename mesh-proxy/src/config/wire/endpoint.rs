//! `ClusterLoadAssignment` and its parts.

use std::collections::HashSet;
use std::path::PathBuf;

use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3 as proto;

use super::common::{enumeration, host_and_port, ip, not_honoured, refuse_set, required_name};
use super::transport_socket::endpoint_labels;
use crate::config::{Endpoint, Error, Labels, LoadAssignment, Path};

/// An endpoint whose address may still be a name.
pub(super) struct NamedEndpoint {
    pub(super) path: Path,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) weight: u32,
    pub(super) healthy: bool,
    pub(super) labels: Labels,
}

/// Endpoints that are all IP addresses. An address that occurs twice counts once.
pub(crate) fn load_assignment(
    assignment: proto::ClusterLoadAssignment,
    path: &Path,
) -> Result<LoadAssignment, Error> {
    let mut seen = HashSet::new();
    let mut endpoints = Vec::new();
    for named in named_endpoints(assignment, path)? {
        let address = ip(&named.path, &named.host)?;
        let address = std::net::SocketAddr::new(address, named.port);
        if seen.insert(address) {
            let NamedEndpoint { weight, healthy, labels, .. } = named;
            endpoints.push(Endpoint { address, weight, healthy, labels });
        }
    }
    Ok(LoadAssignment { endpoints })
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
) -> Result<Vec<NamedEndpoint>, Error> {
    let proto::ClusterLoadAssignment { cluster_name, endpoints, named_endpoints, policy } =
        assignment;
    required_name(path, "cluster_name", &cluster_name)?;
    refuse_set!(path, ClusterLoadAssignment, named_endpoints);
    if let Some(proto::cluster_load_assignment::Policy {
        drop_overloads,
        overprovisioning_factor,
        endpoint_stale_after,
        weighted_priority_health,
    }) = policy
    {
        refuse_set!(
            &path.field("policy"),
            ClusterLoadAssignment,
            drop_overloads,
            overprovisioning_factor,
            endpoint_stale_after,
            weighted_priority_health,
        );
    }
    let mut all = Vec::new();
    for (index, locality) in endpoints.into_iter().enumerate() {
        locality_endpoints(locality, &path.field("endpoints").index(index), &mut all)?;
    }
    Ok(all)
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
    refuse_set!(
        path,
        LocalityLbEndpoints,
        locality,
        metadata,
        load_balancing_weight,
        priority,
        proximity,
        lb_config,
    );
    for (index, endpoint) in lb_endpoints.into_iter().enumerate() {
        all.push(lb_endpoint(endpoint, &path.field("lb_endpoints").index(index))?);
    }
    Ok(())
}

fn lb_endpoint(endpoint: proto::LbEndpoint, path: &Path) -> Result<NamedEndpoint, Error> {
    use core::HealthStatus;
    let proto::LbEndpoint { health_status, metadata, load_balancing_weight, host_identifier } =
        endpoint;
    let labels = endpoint_labels(metadata);
    let healthy = match enumeration(path, "health_status", health_status)? {
        HealthStatus::Unknown | HealthStatus::Healthy => true,
        HealthStatus::Unhealthy | HealthStatus::Draining | HealthStatus::Timeout => false,
        HealthStatus::Degraded => return Err(not_honoured(&path.field("health_status"))),
    };
    let weight = match load_balancing_weight {
        None => 1,
        Some(0) => {
            let path = path.field("load_balancing_weight");
            return Err(path.error("found 0, expected 1 or more"));
        }
        Some(weight) => weight,
    };
    match host_identifier {
        Some(proto::lb_endpoint::HostIdentifier::Endpoint(endpoint)) => {
            let (path, host, port) = endpoint_address(endpoint, &path.field("endpoint"))?;
            Ok(NamedEndpoint { path, host, port, weight, healthy, labels })
        }
        Some(proto::lb_endpoint::HostIdentifier::EndpointName(_)) => {
            Err(not_honoured(&path.field("endpoint_name")))
        }
        None => Err(path.field("endpoint").error("missing: it is required")),
    }
}

fn endpoint_address(endpoint: proto::Endpoint, path: &Path) -> Result<(Path, String, u16), Error> {
    let proto::Endpoint {
        address,
        health_check_config,
        hostname,
        additional_addresses,
        observability_name,
    } = endpoint;
    refuse_set!(
        path,
        Endpoint,
        health_check_config,
        hostname,
        additional_addresses,
        observability_name,
    );
    let (host, port, path) = host_and_port(&path.field("address"), address)?;
    if port == 0 {
        return Err(path.field("port_value").error("found 0, expected a port from 1 to 65535"));
    }
    Ok((path.field("address"), host, port))
}
