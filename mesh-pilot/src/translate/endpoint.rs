//! The addresses behind each EDS cluster.

use std::collections::BTreeMap;

use mesh_model::{Endpoint, Labels, Locality, Service, Snapshot};
use mesh_proto::envoy::config::core::v3 as core;
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
    let mut by_locality: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let endpoints = service.endpoints_of(port);
    for endpoint in endpoints.filter(|endpoint| endpoint.ready && has_labels(endpoint, labels)) {
        let there = by_locality.entry(endpoint.locality.as_deref()).or_default();
        there.push(lb_endpoint(snapshot, endpoint));
    }
    ClusterLoadAssignment {
        cluster_name: outbound_name(port, subset, &service.hostname),
        endpoints: by_locality
            .into_iter()
            .map(|(place, there)| of_locality(place, there))
            .collect(),
        ..Default::default()
    }
}

/// The endpoints of one place, `None` of those that are nowhere known. Clusters do not balance
/// by locality, so that all endpoints get as much; a locality's weight is Istio's, the number
/// of them, by which that stays so.
fn of_locality(place: Option<&Locality>, lb_endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    let locality = place.map(|place| core::Locality {
        region: place.region.clone(),
        zone: place.zone.clone(),
        sub_zone: place.subzone.clone(),
    });
    let load_balancing_weight = place.and_then(|_| u32::try_from(lb_endpoints.len()).ok());
    LocalityLbEndpoints { locality, lb_endpoints, load_balancing_weight, ..Default::default() }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_model::{Contents, ServiceName};

    use super::*;

    #[test]
    fn endpoints_are_grouped_by_where_they_are() {
        let place = |zone: &str| {
            let zone = zone.to_owned();
            Some(Arc::new(Locality { region: "r".to_owned(), zone, ..Locality::default() }))
        };
        let endpoint = |number: u8, locality| Endpoint {
            service_port: 80,
            address: [10, 0, 0, number].into(),
            port: 8080,
            ready: number != 5,
            workload: None,
            locality,
        };
        let name = ServiceName { name: "a".to_owned(), namespace: "n".to_owned() };
        let endpoints = vec![
            endpoint(1, place("b")),
            endpoint(2, None),
            endpoint(3, place("a")),
            endpoint(4, place("b")),
            endpoint(5, place("c")),
        ];
        let service = Service {
            hostname: name.hostname("cluster.local"),
            name,
            addresses: Vec::new(),
            aliases: Vec::new(),
            headless: false,
            ports: Vec::new(),
            endpoints,
        };
        let snapshot = Snapshot::new(1, Contents::default());
        let found = assignment(&snapshot, &service, 80, "", &Labels::new()).endpoints;
        let groups: Vec<_> = found
            .iter()
            .map(|group| {
                let zone = group.locality.as_ref().map(|place| place.zone.as_str());
                (zone, group.load_balancing_weight, group.lb_endpoints.len())
            })
            .collect();
        assert_eq!(groups, [(None, None, 1), (Some("a"), Some(1), 1), (Some("b"), Some(2), 2)]);
    }
}
