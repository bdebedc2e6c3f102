//! The addresses behind each EDS cluster.

use mesh_model::{Endpoint, Labels, Service, Snapshot};
use mesh_proto::envoy::config::endpoint::v3 as wire_endpoint;
use wire_endpoint::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint};

use super::cluster::{client_chooses, outbound_name};
use super::{Role, client_tls, wire};

/// One for each EDS cluster of the service, in the clusters' order. One without a ready endpoint
/// is there too, empty: a cluster waits for it before it serves.
pub(super) fn of_service(
    snapshot: &Snapshot,
    service: &Service,
    role: Role,
) -> Vec<ClusterLoadAssignment> {
    let everything = Labels::new();
    let policy = snapshot.policy(&service.hostname);
    let subsets = policy.iter().flat_map(|policy| &policy.subsets);
    let parts: Vec<_> = std::iter::once(("", &everything))
        .chain(subsets.map(|subset| (subset.name.as_str(), &subset.labels)))
        .filter(|(subset, _)| !client_chooses(service, subset, role))
        .collect();
    let mut assignments = Vec::with_capacity(parts.len() * service.ports.len());
    for port in &service.ports {
        for (subset, labels) in &parts {
            assignments.push(assignment(snapshot, service, port.number, subset, labels));
        }
    }
    assignments
}

fn assignment(
    snapshot: &Snapshot,
    service: &Service,
    port: u16,
    subset: &str,
    labels: &Labels,
) -> ClusterLoadAssignment {
    let lb_endpoints: Vec<_> = service
        .endpoints_of(port)
        .filter(|endpoint| endpoint.ready && has_labels(endpoint, labels))
        .map(|endpoint| lb_endpoint(snapshot, endpoint))
        .collect();
    let mut endpoints = Vec::new();
    if !lb_endpoints.is_empty() {
        endpoints.push(LocalityLbEndpoints { lb_endpoints, ..Default::default() });
    }
    ClusterLoadAssignment {
        cluster_name: outbound_name(port, subset, &service.hostname),
        endpoints,
        ..Default::default()
    }
}

fn has_labels(endpoint: &Endpoint, labels: &Labels) -> bool {
    labels.iter().all(|(key, value)| endpoint.label(key) == Some(value))
}

fn lb_endpoint(snapshot: &Snapshot, endpoint: &Endpoint) -> LbEndpoint {
    let metadata = client_tls::metadata(snapshot, endpoint);
    let address = Some(wire::ip_address(endpoint.address, endpoint.port));
    let endpoint = wire_endpoint::Endpoint { address, ..Default::default() };
    LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)),
        metadata,
        ..Default::default()
    }
}
