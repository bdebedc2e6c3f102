//! What an `HTTPRoute` is attached to.

use mesh_model::{Attachment, ServiceName};

use super::super::GROUP;
use super::ParentRef;
use crate::istio::Findings;

/// A service or gateway that a route is attached to.
pub(super) struct Parent {
    pub(super) place: Attachment,
    /// Of a service: its full name.
    pub(super) host: Option<String>,
    /// Of a service: the one port.
    pub(super) port: Option<u16>,
    /// Of a service: the only namespace whose clients the route is for.
    pub(super) clients: Option<String>,
}

/// The parents of a route of `namespace`.
pub(super) fn of(
    findings: &mut Findings<'_>,
    parents: &[ParentRef],
    namespace: &str,
    cluster_domain: &str,
) -> Vec<Parent> {
    if parents.is_empty() {
        findings.add("spec.parentRefs", "it is empty; name a Service or a Gateway");
    }
    let parents = parents.iter().enumerate();
    let parents = parents.filter_map(|(i, parent)| {
        let path = format!("spec.parentRefs[{i}]");
        let own = || namespace.to_owned();
        let name = ServiceName {
            name: parent.name.clone(),
            namespace: parent.namespace.clone().unwrap_or_else(own),
        };
        match (
            parent.group.as_deref().unwrap_or(GROUP),
            parent.kind.as_deref().unwrap_or("Gateway"),
        ) {
            (GROUP, "Gateway") => Some(gateway(parent, name)),
            ("" | "core", "Service") => {
                service(findings, &path, parent, name, namespace, cluster_domain)
            }
            (group, kind) => {
                let message = format!(
                    "\"{kind}\" of group \"{group}\" is not supported yet; there are Service of \
                     group \"\" and Gateway of {GROUP}"
                );
                findings.add(format!("{path}.kind"), message);
                None
            }
        }
    });
    parents.collect()
}

fn gateway(parent: &ParentRef, gateway: ServiceName) -> Parent {
    let (section, port) = (parent.section_name.clone(), parent.port);
    let place = Attachment::Listeners { gateway, section, port };
    Parent { place, host: None, port: None, clients: None }
}

/// GAMMA's rule: a route beside the service is for all its clients, one elsewhere for those
/// of its own namespace.
fn service(
    findings: &mut Findings<'_>,
    path: &str,
    parent: &ParentRef,
    service: ServiceName,
    namespace: &str,
    cluster_domain: &str,
) -> Option<Parent> {
    if parent.section_name.is_some() {
        let message = "a service's port by name is not supported yet; write port with its number";
        findings.add(format!("{path}.sectionName"), message);
    }
    Some(Parent {
        place: Attachment::Mesh,
        host: Some(service.hostname(cluster_domain)),
        port: parent.port,
        clients: (service.namespace != namespace).then(|| namespace.to_owned()),
    })
}
