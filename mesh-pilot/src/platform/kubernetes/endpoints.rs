//! Which addresses are behind each service.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::{Endpoint, Locality, Service, ServiceName, TargetPort, Workload};

use super::slice::SliceEndpoint;
use super::{Aliases, Declared, DeclaredService, DeclaredSlice};

/// The services with their aliases and their endpoints: those of the service's slices when it has
/// some, else of the pods that its selector selects.
pub(in super::super) fn services<'a>(
    declared: &[&'a Declared],
    slices: impl IntoIterator<Item = &'a DeclaredSlice>,
    workloads: &[Arc<Workload>],
) -> Vec<Arc<Service>> {
    let pods = Pods::new(workloads, Unknown::Kept);
    let mut by_service: HashMap<&ServiceName, Vec<&DeclaredSlice>> = HashMap::new();
    for slice in slices {
        if let Some(service) = &slice.service {
            by_service.entry(service).or_default().push(slice);
        }
    }
    let aliases = Aliases::new(declared.iter().filter_map(|declared| declared.alias()));
    let services = declared.iter().filter_map(|declared| declared.service());
    let services = services.map(|declared| match by_service.get(&declared.service.name) {
        Some(slices) => service(declared, &aliases, slices.iter().copied(), &pods),
        None => with_endpoints(declared, &aliases, of_pods(declared, workloads)),
    });
    services.collect()
}

/// A service with its aliases and the endpoints of its slices.
pub(in super::super) fn service<'a>(
    declared: &DeclaredService,
    aliases: &Aliases,
    slices: impl IntoIterator<Item = &'a DeclaredSlice>,
    pods: &Pods<'_>,
) -> Arc<Service> {
    with_endpoints(declared, aliases, of_slices(declared, slices, pods))
}

fn with_endpoints(
    declared: &DeclaredService,
    aliases: &Aliases,
    mut endpoints: Vec<Endpoint>,
) -> Arc<Service> {
    endpoints.sort_by_key(|e| (e.service_port, e.address, e.port));
    endpoints.dedup_by_key(|e| (e.service_port, e.address, e.port));
    let aliases = aliases.of(&declared.service.name).to_vec();
    Arc::new(Service { aliases, endpoints, ..declared.service.clone() })
}

/// What becomes of an endpoint whose pod nobody has told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Unknown {
    /// It is an address like any other.
    Kept,
    /// It is left out: its pod has just gone, or is about to be told of. Not knowing its
    /// labels and its account, nobody could say how to speak to it.
    LeftOut,
}

/// Pods by what endpoints say of them, and where their machines stand.
pub(in super::super) struct Pods<'a> {
    by_name: HashMap<(&'a str, &'a str), &'a Arc<Workload>>,
    by_address: HashMap<IpAddr, &'a Arc<Workload>>,
    nodes: HashMap<&'a str, &'a Arc<Locality>>,
    unknown: Unknown,
}

impl<'a> Pods<'a> {
    pub(in super::super) fn new(
        workloads: impl IntoIterator<Item = &'a Arc<Workload>>,
        unknown: Unknown,
    ) -> Self {
        let mut pods = Self {
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            nodes: HashMap::new(),
            unknown,
        };
        for pod in workloads {
            pods.by_name.insert((&pod.namespace, &pod.name), pod);
            // Pods in their node's network share an address.
            for address in pod.addresses() {
                pods.by_address.entry(address).or_insert(pod);
            }
        }
        pods
    }

    /// The same, and where each machine stands, by its name.
    pub(in super::super) fn on(
        self,
        nodes: impl IntoIterator<Item = (&'a str, &'a Arc<Locality>)>,
    ) -> Self {
        Self { nodes: nodes.into_iter().collect(), ..self }
    }

    fn locality(&self, pod: &Workload) -> Option<Arc<Locality>> {
        self.nodes.get(pod.node.as_str()).copied().cloned()
    }

    /// The pod behind an endpoint; `Err` when there must be one and it is not known.
    fn behind(
        &self,
        namespace: &str,
        endpoint: &SliceEndpoint,
    ) -> Result<Option<&'a Arc<Workload>>, ()> {
        let by_address = self.by_address.get(&endpoint.address).copied();
        let Some(name) = &endpoint.pod else { return Ok(by_address) };
        match self.by_name.get(&(namespace, name.as_str())).copied() {
            // Another address of the same family is that of an earlier pod of that name.
            Some(pod)
                if pod
                    .address_of_family(endpoint.address.is_ipv4())
                    .is_none_or(|own| own == endpoint.address) =>
            {
                Ok(Some(pod))
            }
            _ if self.unknown == Unknown::Kept => Ok(by_address),
            _ => Err(()),
        }
    }
}

fn of_pods(declared: &DeclaredService, workloads: &[Arc<Workload>]) -> Vec<Endpoint> {
    let DeclaredService { service, selector, publish_not_ready, .. } = declared;
    if selector.is_empty() {
        return Vec::new();
    }
    let selected = workloads
        .iter()
        .filter(|pod| pod.namespace == service.name.namespace && pod.matches(selector));
    let mut endpoints = Vec::new();
    for pod in selected {
        let address = match declared.is_ipv4 {
            Some(is_ipv4) => pod.address_of_family(is_ipv4),
            None => Some(pod.address),
        };
        let Some(address) = address else { continue };
        for port in &service.ports {
            // A pod without a port of that name does not serve it.
            let target = match &port.target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) => pod.named_ports.get(name).copied(),
            };
            endpoints.extend(target.map(|target| Endpoint {
                service_port: port.number,
                address,
                port: target,
                ready: (pod.ready || *publish_not_ready) && !pod.leaving,
                workload: Some(Arc::clone(pod)),
                locality: None,
            }));
        }
    }
    endpoints
}

fn of_slices<'a>(
    declared: &DeclaredService,
    slices: impl IntoIterator<Item = &'a DeclaredSlice>,
    pods: &Pods<'_>,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for slice in slices {
        for (name, target) in &slice.ports {
            let ports = &declared.service.ports;
            let Some(port) = ports.iter().find(|port| port.name == *name) else {
                continue;
            };
            let of_family = |endpoint: &&SliceEndpoint| {
                declared.is_ipv4.is_none_or(|is_ipv4| is_ipv4 == endpoint.address.is_ipv4())
            };
            for endpoint in slice.endpoints.iter().filter(of_family) {
                let Ok(pod) = pods.behind(&slice.name.namespace, endpoint) else { continue };
                endpoints.push(Endpoint {
                    service_port: port.number,
                    address: endpoint.address,
                    port: *target,
                    ready: endpoint.ready && !pod.is_some_and(|pod| pod.leaving),
                    workload: pod.cloned(),
                    locality: pod.and_then(|pod| pods.locality(pod)),
                });
            }
        }
    }
    endpoints
}
