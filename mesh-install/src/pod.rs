//! What is asked of a pod.

use k8s_openapi::api::core::v1::{Container, Pod};
use mesh_inject::{ISTIO_PROXY_CONTAINER, PROXY_CONTAINER, STATUS_ANNOTATION};

/// Whether it takes requests (the condition `Ready`).
pub fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|one| one.type_ == "Ready" && one.status == "True")
}

/// Whether it has done its work.
pub(crate) fn is_done(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The container of its proxy: a sidecar, which is an init container that stays or a plain one,
/// or what Istio's gateway template made of the container of that name. `None` when it has none.
pub fn sidecar(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    // Without our mark the name is that of Istio's own.
    let annotations = pod.metadata.annotations.as_ref();
    let is_marked = annotations.is_some_and(|all| all.contains_key(STATUS_ANNOTATION));
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    containers
        .find(|one| one.name == PROXY_CONTAINER || is_marked && one.name == ISTIO_PROXY_CONTAINER)
}
