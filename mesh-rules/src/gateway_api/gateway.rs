//! `Gateway`: the type, and its meaning.

use std::collections::BTreeMap;

use mesh_model::{GatewayApi, GatewayHost, GatewayServer, ServerTransport, ServiceName};
use serde::{Deserialize, Serialize};

use super::{GATEWAY_NAME, GROUP};
use crate::Problem;
use crate::istio::{Findings, Resource, is_host};

/// The Gateway API's `Gateway.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySpec {
    /// Who runs it.
    pub gateway_class_name: String,
    /// What it listens for.
    #[serde(default)]
    pub listeners: Vec<Listener>,
}

/// The Gateway API's `Listener`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Unique within the gateway.
    pub name: String,
    /// Whom requests may be for: `NAME` or `*.NAME`; none: anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Where.
    pub port: u16,
    /// Only `HTTP`.
    pub protocol: String,
    /// Whose routes it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_routes: Option<AllowedRoutes>,
}

/// The Gateway API's `AllowedRoutes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedRoutes {
    /// Of which namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<RouteNamespaces>,
    /// Only `HTTPRoute`, which is also the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteKind>,
}

/// The Gateway API's `RouteNamespaces`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteNamespaces {
    /// `Same`, which is also the default, or `All`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// The Gateway API's `RouteGroupKind`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteKind {
    /// None: the Gateway API's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind.
    pub kind: String,
}

/// What a `Gateway` of our class means, or all that is wrong with it by itself.
pub(crate) fn gateway(
    source: &str,
    resource: &Resource<GatewaySpec>,
    name: ServiceName,
) -> Result<mesh_model::Gateway, Vec<Problem>> {
    let mut findings = Findings::new(source);
    let mut servers: Vec<GatewayServer> = Vec::new();
    if resource.spec.listeners.is_empty() {
        findings.add("spec.listeners", "it is empty; add one, with a name, port and protocol");
    }
    for (i, listener) in resource.spec.listeners.iter().enumerate() {
        let path = format!("spec.listeners[{i}]");
        if servers.iter().any(|earlier| earlier.name == listener.name) {
            findings.add(format!("{path}.name"), format!("\"{}\" is there twice", listener.name));
        }
        servers.push(server(&mut findings, &path, listener, &name.namespace));
    }
    let selector = BTreeMap::from([(GATEWAY_NAME.to_owned(), name.name.clone())]);
    findings.finish(mesh_model::Gateway { name, api: GatewayApi::Kubernetes, selector, servers })
}

fn server(
    findings: &mut Findings<'_>,
    path: &str,
    listener: &Listener,
    own: &str,
) -> GatewayServer {
    if listener.protocol != "HTTP" {
        let message = format!("\"{}\" is not supported yet; there is HTTP", listener.protocol);
        findings.add(format!("{path}.protocol"), message);
    }
    if listener.port == 0 {
        findings.add(format!("{path}.port"), "0 is no port; expected 1 to 65535");
    }
    let hostname = listener.hostname.as_deref().filter(|hostname| !hostname.is_empty());
    let hostname = hostname.unwrap_or("*");
    if !is_host(hostname) {
        let message = format!("\"{hostname}\" is no name; expected one such as \"*.a.com\"");
        findings.add(format!("{path}.hostname"), message);
    }
    let namespace = match &listener.allowed_routes {
        Some(allowed) => allowed_namespace(findings, path, allowed, own),
        None => Some(own.to_owned()),
    };
    GatewayServer {
        name: listener.name.clone(),
        port: listener.port,
        bind: None,
        hosts: vec![GatewayHost { namespace, name: hostname.to_owned() }],
        transport: ServerTransport::Plain,
    }
}

/// The only namespace whose routes are taken; `None`: every one's are.
fn allowed_namespace(
    findings: &mut Findings<'_>,
    path: &str,
    allowed: &AllowedRoutes,
    own: &str,
) -> Option<String> {
    let path = format!("{path}.allowedRoutes");
    for (i, RouteKind { group, kind }) in allowed.kinds.iter().enumerate() {
        if group.as_ref().is_some_and(|group| group != GROUP) || kind != "HTTPRoute" {
            let message = format!("\"{kind}\" is not supported yet; there is HTTPRoute of {GROUP}");
            findings.add(format!("{path}.kinds[{i}]"), message);
        }
    }
    match allowed.namespaces.as_ref().and_then(|namespaces| namespaces.from.as_deref()) {
        None | Some("Same") => Some(own.to_owned()),
        Some("All") => None,
        Some(other) => {
            let message = format!("\"{other}\" is not supported yet; there are Same and All");
            findings.add(format!("{path}.namespaces.from"), message);
            None
        }
    }
}
