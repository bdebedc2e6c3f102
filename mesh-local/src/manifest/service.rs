//! Services: what is needed to give them addresses, names and published ports.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::pod_spec::Port;
use super::{Document, Key};
use crate::error::{Error, Result};

/// A Service, as far as it is used.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its namespace and name.
    pub key: Key,
    pub(crate) at: String,
    /// Labels that its pods have.
    pub selector: BTreeMap<String, String>,
    /// Its ports; at least one.
    pub ports: Vec<ServicePort>,
    /// `spec.clusterIP` as the user wrote it: an address, or `None` for a headless service.
    pub(crate) cluster_ip: Option<String>,
    pub(crate) value: Value,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, when it has one.
    pub name: Option<String>,
    /// What clients connect to.
    pub port: u16,
    /// Where the application listens.
    pub target: TargetPort,
}

/// Where the application of a service port listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// This port.
    Number(u16),
    /// The container port of this name.
    Name(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    selector: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<SpecPort>,
    #[serde(default, rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecPort {
    #[serde(default)]
    name: Option<String>,
    port: u16,
    #[serde(default)]
    target_port: Option<Port>,
}

impl Service {
    pub(crate) fn from_document(document: &Document) -> Result<Self> {
        let at = document.at.clone();
        let spec: Spec = document.section("spec")?;
        if spec.kind.as_deref() == Some("ExternalName") {
            return Err(Error::manifest(at, "spec.type: ExternalName is not run on one machine"));
        }
        if spec.ports.is_empty() {
            return Err(Error::manifest(at, "spec.ports: expected at least one port"));
        }
        Ok(Self {
            key: document.key()?,
            at,
            selector: spec.selector,
            ports: spec.ports.into_iter().map(ServicePort::from).collect(),
            cluster_ip: spec.cluster_ip.filter(|ip| !ip.is_empty()),
            value: document.value.clone(),
        })
    }

    /// Whether a pod with these labels in `namespace` is one of its backends.
    pub(crate) fn selects(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.key.namespace == namespace
            && !self.selector.is_empty()
            && self.selector.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    pub(crate) fn is_headless(&self) -> bool {
        self.cluster_ip.as_deref() == Some("None")
    }
}

impl From<SpecPort> for ServicePort {
    fn from(port: SpecPort) -> Self {
        let target = match port.target_port {
            Some(Port::Name(name)) => TargetPort::Name(name),
            Some(Port::Number(number)) => TargetPort::Number(number),
            None => TargetPort::Number(port.port),
        };
        Self { name: port.name, port: port.port, target }
    }
}
