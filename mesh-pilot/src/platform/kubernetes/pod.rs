//! Pods.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use mesh_model::Workload;

use super::{FieldError, address, name, namespace, others, port};

/// The workload that a pod is; `None` while it has no address, and when it is over. One that
/// is to leave is still there, for its own sidecar and for what was sent to it before.
pub(in super::super) fn workload(pod: Pod) -> Result<Option<Workload>, FieldError> {
    let name = name(pod.metadata.name)?;
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let ip = status.pod_ip.as_deref().filter(|ip| !ip.is_empty());
    let Some(ip) = ip.filter(|_| !over) else { return Ok(None) };
    let first = address("status.podIP", ip)?;
    Ok(Some(Workload {
        name,
        namespace: namespace(pod.metadata.namespace),
        address: first,
        other_addresses: other_addresses(&status, first)?,
        labels: pod.metadata.labels.unwrap_or_default(),
        named_ports: named_ports(&spec)?,
        ready: is_ready(&status),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        service_account: spec.service_account_name.unwrap_or_else(|| "default".to_owned()),
        node: spec.node_name.unwrap_or_default(),
    }))
}

/// Of a cluster with both families: `podIPs` has the first one, too.
fn other_addresses(status: &PodStatus, first: IpAddr) -> Result<Vec<IpAddr>, FieldError> {
    let ips = status.pod_ips.iter().flatten().map(|pod_ip| &*pod_ip.ip);
    others(|i| format!("status.podIPs[{i}].ip"), ips, first)
}

fn is_ready(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Those of the containers, and of the init containers that stay (native sidecars).
fn named_ports(spec: &PodSpec) -> Result<BTreeMap<String, u16>, FieldError> {
    let stays = |container: &Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(|container| stays(container));
    let mut ports = BTreeMap::new();
    for container in spec.containers.iter().chain(sidecars) {
        for declared in container.ports.iter().flatten() {
            if let Some(name) = &declared.name {
                let path = format!("spec.containers.{}.ports.{name}", container.name);
                ports.entry(name.clone()).or_insert(port(path, declared.container_port)?);
            }
        }
    }
    Ok(ports)
}
