//! Services.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesh_model::{Labels, Protocol, ServiceName, TargetPort};

use super::alias::{DeclaredAlias, declared_alias};
use super::{FieldError, address, field_error, name, namespace, others, port};

/// What a Service is to the mesh.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Declared {
    Service(DeclaredService),
    Alias(DeclaredAlias),
}

impl Declared {
    pub(in super::super) fn name(&self) -> &ServiceName {
        match self {
            Self::Service(declared) => &declared.service.name,
            Self::Alias(declared) => &declared.alias.name,
        }
    }

    pub(in super::super) fn service(&self) -> Option<&DeclaredService> {
        match self {
            Self::Service(declared) => Some(declared),
            Self::Alias(_) => None,
        }
    }

    pub(in super::super) fn alias(&self) -> Option<&DeclaredAlias> {
        match self {
            Self::Service(_) => None,
            Self::Alias(declared) => Some(declared),
        }
    }
}

/// A service, before its endpoints are known.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct DeclaredService {
    /// Its endpoints and aliases are still empty.
    pub(in super::super) service: mesh_model::Service,
    /// Empty: its endpoints are given by slices alone.
    pub(in super::super) selector: Labels,
    /// Pods count before they are ready.
    pub(in super::super) publish_not_ready: bool,
    /// Whether its endpoints are those of IPv4, or of IPv6; `None`: whatever there are. Of a
    /// service with both families we take the first, which it prefers: a pod must not count
    /// twice.
    pub(in super::super) is_ipv4: Option<bool>,
}

/// `None` for an alias of what is not the cluster's.
pub(in super::super) fn declared_service(
    declared: Service,
    cluster_domain: &str,
) -> Result<Option<Declared>, FieldError> {
    let name = ServiceName {
        name: name(declared.metadata.name)?,
        namespace: namespace(declared.metadata.namespace),
    };
    let spec = declared.spec.unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Ok(declared_alias(name, &spec, cluster_domain).map(Declared::Alias));
    }
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let addresses = if headless { Vec::new() } else { virtual_addresses(&spec)? };
    let mut ports: Vec<mesh_model::ServicePort> = Vec::new();
    for (i, declared) in spec.ports.iter().flatten().enumerate() {
        let path = format!("spec.ports[{i}]");
        let Some(port) = service_port(&path, declared)? else { continue };
        if ports.iter().any(|earlier| earlier.number == port.number) {
            let message = format!("{} is there twice", port.number);
            return Err(field_error(format!("{path}.port"), message));
        }
        ports.push(port);
    }
    let first_family = spec.ip_families.iter().flatten().next().map(|family| family == "IPv4");
    let service = mesh_model::Service {
        hostname: name.hostname(cluster_domain),
        name,
        aliases: Vec::new(),
        addresses,
        headless,
        ports,
        endpoints: Vec::new(),
    };
    Ok(Some(Declared::Service(DeclaredService {
        is_ipv4: service.addresses.first().map(IpAddr::is_ipv4).or(first_family),
        service,
        selector: spec.selector.unwrap_or_default(),
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
    })))
}

/// The first one is in a field of its own; of a service with both families there is another.
fn virtual_addresses(spec: &ServiceSpec) -> Result<Vec<IpAddr>, FieldError> {
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let Some(ip) = ip else { return Ok(Vec::new()) };
    let first = address("spec.clusterIP", ip)?;
    let ips = spec.cluster_ips.iter().flatten().map(String::as_str);
    let others = others(|i| format!("spec.clusterIPs[{i}]"), ips, first)?;
    Ok(std::iter::once(first).chain(others).collect())
}

/// `None` for what is not TCP, which passes the mesh by.
fn service_port(
    path: &str,
    declared: &ServicePort,
) -> Result<Option<mesh_model::ServicePort>, FieldError> {
    if declared.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return Ok(None);
    }
    let number = port(format!("{path}.port"), declared.port)?;
    let target = match &declared.target_port {
        None => TargetPort::Number(number),
        Some(IntOrString::Int(target)) => {
            TargetPort::Number(port(format!("{path}.targetPort"), *target)?)
        }
        Some(IntOrString::String(name)) => TargetPort::Name(name.clone()),
    };
    let name = declared.name.clone().unwrap_or_default();
    let protocol = Protocol::of_port(declared.app_protocol.as_deref(), &name);
    Ok(Some(mesh_model::ServicePort { name, number, target, protocol }))
}
