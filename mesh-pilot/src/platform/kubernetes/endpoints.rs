//! Which addresses are behind each service.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_model::{Endpoint, Service, ServiceName, TargetPort, Workload};

use super::{DeclaredService, DeclaredSlice};

/// The services with their endpoints: those of the service's slices when it has some, else
/// of the pods that its selector selects.
pub(in super::super) fn services<'a>(
    declared: impl IntoIterator<Item = &'a DeclaredService>,
    slices: impl IntoIterator<Item = &'a DeclaredSlice>,
    workloads: &[Arc<Workload>],
) -> Vec<Arc<Service>> {
    let mut by_service: HashMap<&ServiceName, Vec<&DeclaredSlice>> = HashMap::new();
    for slice in slices {
        if let Some(service) = &slice.service {
            by_service.entry(service).or_default().push(slice);
        }
    }
    let services = declared.into_iter().map(|declared| {
        let mut service = declared.service.clone();
        service.endpoints = match by_service.get(&service.name) {
            Some(slices) => of_slices(&service, slices, workloads),
            None => of_pods(declared, workloads),
        };
        service.endpoints.sort_by_key(|e| (e.service_port, e.address, e.port));
        service.endpoints.dedup_by_key(|e| (e.service_port, e.address, e.port));
        Arc::new(service)
    });
    services.collect()
}

fn of_pods(declared: &DeclaredService, workloads: &[Arc<Workload>]) -> Vec<Endpoint> {
    let DeclaredService { service, selector, publish_not_ready } = declared;
    if selector.is_empty() {
        return Vec::new();
    }
    let selected = workloads
        .iter()
        .filter(|pod| pod.namespace == service.name.namespace && pod.matches(selector));
    let mut endpoints = Vec::new();
    for pod in selected {
        for port in &service.ports {
            // A pod without a port of that name does not serve it.
            let target = match &port.target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) => pod.named_ports.get(name).copied(),
            };
            endpoints.extend(target.map(|target| Endpoint {
                service_port: port.number,
                address: pod.address,
                port: target,
                ready: pod.ready || *publish_not_ready,
                workload: Some(Arc::clone(pod)),
            }));
        }
    }
    endpoints
}

fn of_slices(
    service: &Service,
    slices: &[&DeclaredSlice],
    workloads: &[Arc<Workload>],
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for slice in slices {
        for (name, target) in &slice.ports {
            let Some(port) = service.ports.iter().find(|port| port.name == *name) else {
                continue;
            };
            endpoints.extend(slice.endpoints.iter().map(|endpoint| {
                let pod = workloads.iter().find(|pod| {
                    pod.address == endpoint.address
                        || (pod.namespace == slice.name.namespace
                            && endpoint.pod.as_ref() == Some(&pod.name))
                });
                Endpoint {
                    service_port: port.number,
                    address: endpoint.address,
                    port: *target,
                    ready: endpoint.ready,
                    workload: pod.cloned(),
                }
            }));
        }
    }
    endpoints
}
