//! What is asked of a pod.

use k8s_openapi::api::core::v1::{Container, Pod};
use mesh_inject::PROXY_CONTAINER;

/// Whether it takes requests (the condition `Ready`).
pub fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|one| one.type_ == "Ready" && one.status == "True")
}

/// Its sidecar: an init container that stays, or a plain one. `None` when it has none.
pub fn sidecar(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    containers.find(|one| one.name == PROXY_CONTAINER)
}
