//! Names that the chart, the pilot and we agree on.

use mesh_inject::{INIT_CONTAINER, PROXY_CONTAINER};

use crate::chart::REVISION;

/// What the names of everything that runs the control plane begin with.
pub(crate) const PILOT: &str = "mesh-pilot";
pub(crate) const INGRESS_GATEWAY: &str = "mesh-ingressgateway";
/// What injection adds to a pod.
pub(crate) const CONTAINERS: [&str; 2] = [PROXY_CONTAINER, INIT_CONTAINER];
/// The ConfigMap of the roots, in every namespace.
pub(crate) const ROOTS: &str = "mesh-ca-root-cert";
/// The Secret of the root itself.
pub(crate) const CA_SECRET: &str = "mesh-ca-secret";
pub(crate) const LEASE_END: &str = "-leader";
/// Which pilot of all revisions looks after the roots.
pub(crate) const CA_LEASE: &str = "mesh-ca-leader";

fn suffix(revision: &str) -> String {
    if revision == REVISION { String::new() } else { format!("-{revision}") }
}

/// The Deployment, Service and account of a revision's pilots.
pub(crate) fn pilot(revision: &str) -> String {
    format!("{PILOT}{}", suffix(revision))
}

/// Which of them leads.
pub(crate) fn lease(revision: &str) -> String {
    format!("{}{LEASE_END}", pilot(revision))
}

/// The ConfigMap of the settings of injection.
pub(crate) fn injector(revision: &str) -> String {
    format!("mesh-sidecar-injector{}", suffix(revision))
}
