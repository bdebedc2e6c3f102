//! Nodes.

use k8s_openapi::api::core::v1::Node;
use mesh_model::Locality;

/// Kubernetes' well-known labels, each with the one of old, and Istio's for what is narrower.
const REGION: [&str; 2] =
    ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const SUBZONE: [&str; 1] = ["topology.istio.io/subzone"];

/// Where a node stands; `None` when it does not say.
pub(in super::super) fn locality(node: Node) -> Option<Locality> {
    let labels = node.metadata.labels?;
    let of = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| labels.get(*key));
        found.cloned().unwrap_or_default()
    };
    let locality = Locality { region: of(&REGION), zone: of(&ZONE), subzone: of(&SUBZONE) };
    (locality != Locality::default()).then_some(locality)
}
