//! Endpoint slices.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use mesh_model::ServiceName;

use super::{FieldError, address, field_error, name, namespace, port};

const SERVICE: &str = "kubernetes.io/service-name";

/// A part of a service's endpoints.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct DeclaredSlice {
    /// The slice's own name.
    pub(in super::super) name: ServiceName,
    /// The service that it is of; `None`: of none.
    pub(in super::super) service: Option<ServiceName>,
    /// The names of service ports, and the ports behind them.
    pub(in super::super) ports: Vec<(String, u16)>,
    pub(in super::super) endpoints: Vec<SliceEndpoint>,
}

/// One address.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct SliceEndpoint {
    pub(in super::super) address: IpAddr,
    pub(in super::super) ready: bool,
    /// The pod's name, in the slice's namespace.
    pub(in super::super) pod: Option<String>,
}

pub(in super::super) fn declared_slice(slice: EndpointSlice) -> Result<DeclaredSlice, FieldError> {
    let namespace = namespace(slice.metadata.namespace);
    let service = slice.metadata.labels.and_then(|mut labels| labels.remove(SERVICE));
    if slice.address_type == "FQDN" {
        return Err(field_error("addressType", "FQDN is not supported; expected IPv4 or IPv6"));
    }
    let mut ports = Vec::new();
    for (i, declared) in slice.ports.iter().flatten().enumerate() {
        if let Some(number) = declared.port {
            let number = port(format!("ports[{i}].port"), number)?;
            ports.push((declared.name.clone().unwrap_or_default(), number));
        }
    }
    let mut endpoints = Vec::new();
    for (i, declared) in slice.endpoints.into_iter().flatten().enumerate() {
        let conditions = declared.conditions.unwrap_or_default();
        // Of one that is to leave, `ready` may be true where the service wants its pods
        // before they are ready; nothing new is sent there all the same.
        let leaving = conditions.terminating == Some(true);
        let ready = conditions.ready.unwrap_or(true) && !leaving;
        let target = declared.target_ref;
        let target = target.filter(|target| target.kind.as_deref() == Some("Pod"));
        let pod = target.and_then(|target| target.name);
        for (j, text) in declared.addresses.iter().enumerate() {
            let address = address(format!("endpoints[{i}].addresses[{j}]"), text)?;
            endpoints.push(SliceEndpoint { address, ready, pod: pod.clone() });
        }
    }
    let in_namespace = |name: String| ServiceName { name, namespace: namespace.clone() };
    Ok(DeclaredSlice {
        name: in_namespace(name(slice.metadata.name)?),
        service: service.map(in_namespace),
        ports,
        endpoints,
    })
}
