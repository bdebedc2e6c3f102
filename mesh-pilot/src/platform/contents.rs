//! What a snapshot is made of.

use std::sync::Arc;

use mesh_model::{Contents, Service, Workload};
use mesh_rules::Meaning;

use super::MeshConfig;
use super::rules::Rules;

/// A mesh with nothing in it.
pub(super) fn empty(mesh: &MeshConfig) -> Contents {
    Contents {
        cluster_domain: mesh.cluster_domain.clone(),
        trust_domain: mesh.trust_domain.clone(),
        auto_mtls: mesh.auto_mtls,
        ..Default::default()
    }
}

/// A mesh of these services and pods, with the rules that are in force.
pub(super) fn contents(
    mesh: &MeshConfig,
    services: Vec<Arc<Service>>,
    workloads: Vec<Arc<Workload>>,
    rules: &Rules,
) -> Contents {
    let mut contents = Contents { services, workloads, ..empty(mesh) };
    for rule in rules.in_force() {
        match &rule.meaning {
            Meaning::Route(route) => contents.routes.push(Arc::new(route.clone())),
            Meaning::Routes(routes) => contents.routes.extend(routes.iter().cloned().map(Arc::new)),
            Meaning::Gateway(gateway) => contents.gateways.push(Arc::new(gateway.clone())),
            Meaning::Policy(policy) => contents.policies.push(Arc::new(policy.clone())),
            Meaning::PeerAuthentication(rule) => {
                contents.peer_authentications.push(Arc::new(rule.clone()));
            }
            // They have done their part when rules were checked.
            Meaning::Grant(_) | Meaning::Foreign => {}
        }
    }
    contents
}
