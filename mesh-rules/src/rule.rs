//! From a document to a rule in the model's words.

use mesh_model::{Gateway, PeerAuthentication, ServiceName, TrafficPolicy, TrafficRoute};

use serde_json::Value;

use crate::gateway_api::GatewaySpec as GatewayApiSpec;
use crate::gateway_api::{self, Grant, HttpRouteSpec, ReferenceGrantSpec};
use crate::istio::{
    self, DestinationRuleSpec, GatewaySpec, PeerAuthenticationSpec, Resource, VirtualServiceSpec,
};
use crate::{Document, Problem, RuleKey, Surroundings, documents};

/// A rule that is right in itself; [`check`](crate::check) holds it against the mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its kind, namespace and name.
    pub key: RuleKey,
    /// Where it was written.
    pub source: String,
    /// As the user wrote it, one document.
    pub yaml: String,
    /// What it says.
    pub meaning: Meaning,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// A `VirtualService`.
    Route(TrafficRoute),
    /// A `DestinationRule`.
    Policy(TrafficPolicy),
    /// An `HTTPRoute`: a route for each of its parents, in their order.
    Routes(Vec<TrafficRoute>),
    /// A `Gateway` of Istio's, or one of the Gateway API's whose class is the mesh's.
    Gateway(Gateway),
    /// A `ReferenceGrant`.
    Grant(Grant),
    /// Something of somebody else's, such as a `Gateway` of another class.
    Foreign,
    /// A `PeerAuthentication`.
    PeerAuthentication(PeerAuthentication),
}

const EXPECTED: &str = "a VirtualService, DestinationRule, Gateway, PeerAuthentication, HTTPRoute or \
                        ReferenceGrant";

/// Whether a document is meant as a rule for the mesh, of a supported kind or not.
pub fn is_rule(document: &Document) -> bool {
    let group = document.group();
    // A class says who runs gateways, and is no rule.
    group.ends_with(".istio.io")
        || (group == gateway_api::GROUP && document.kind() != "GatewayClass")
}

/// Reads one rule.
pub fn rule(document: &Document, surroundings: Surroundings<'_>) -> Result<Rule, Vec<Problem>> {
    let source = document.source.as_str();
    let Surroundings { namespace, cluster_domain, .. } = surroundings;
    if document.group() == gateway_api::GROUP {
        return of_gateway_api(document, namespace, cluster_domain);
    }
    let (key, meaning) = match document.kind() {
        "VirtualService" => {
            let resource = istio::read::<VirtualServiceSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, namespace)?;
            let key = key("VirtualService", &name);
            let route = istio::route(source, &resource, name, cluster_domain)?;
            (key, Meaning::Route(route))
        }
        "DestinationRule" => {
            let resource = istio::read::<DestinationRuleSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, namespace)?;
            let key = key("DestinationRule", &name);
            let policy = istio::policy(source, &resource, name, cluster_domain)?;
            (key, Meaning::Policy(policy))
        }
        "Gateway" => {
            let resource = istio::read::<GatewaySpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, namespace)?;
            let key = key("Gateway", &name);
            (key, Meaning::Gateway(istio::gateway(source, &resource, name)?))
        }
        "PeerAuthentication" => {
            let resource = istio::read::<PeerAuthenticationSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, namespace)?;
            let key = key("PeerAuthentication", &name);
            let rule = istio::peer_authentication(source, &resource, name, surroundings)?;
            (key, Meaning::PeerAuthentication(rule))
        }
        other => return Err(vec![unsupported(source, document.api_version(), other)]),
    };
    Ok(Rule { key, source: source.to_owned(), yaml: document.text.clone(), meaning })
}

/// In the key of the Gateway API's `Gateway`, to tell it from Istio's, which has the same kind.
pub const KUBERNETES_GATEWAY: &str = "KubernetesGateway";

fn of_gateway_api(
    document: &Document,
    default_namespace: &str,
    cluster_domain: &str,
) -> Result<Rule, Vec<Problem>> {
    let source = document.source.as_str();
    let (key, meaning) = match document.kind() {
        "HTTPRoute" => {
            let resource = istio::read::<HttpRouteSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key("HTTPRoute", &name);
            let routes = gateway_api::routes(source, &resource, name, cluster_domain)?;
            (key, Meaning::Routes(routes))
        }
        "Gateway" if is_ours(document) => {
            let resource = istio::read::<GatewayApiSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key(KUBERNETES_GATEWAY, &name);
            (key, Meaning::Gateway(gateway_api::gateway(source, &resource, name)?))
        }
        "Gateway" => {
            let resource = istio::read::<Value>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            (key(KUBERNETES_GATEWAY, &name), Meaning::Foreign)
        }
        "ReferenceGrant" => {
            let resource = istio::read::<ReferenceGrantSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key("ReferenceGrant", &name);
            (key, Meaning::Grant(gateway_api::grant(&resource, name)))
        }
        other => return Err(vec![unsupported(source, document.api_version(), other)]),
    };
    Ok(Rule { key, source: source.to_owned(), yaml: document.text.clone(), meaning })
}

/// Whether the mesh runs the `Gateway`.
fn is_ours(document: &Document) -> bool {
    let class = document.value.pointer("/spec/gatewayClassName");
    class.and_then(Value::as_str) == Some(gateway_api::CLASS)
}

/// Reads all rules of a text; everything in it must be one. `source` names its origin.
pub fn parse(
    source: &str,
    text: &str,
    surroundings: Surroundings<'_>,
) -> Result<Vec<Rule>, Vec<Problem>> {
    let documents = documents(source, text).map_err(|problem| vec![problem])?;
    let mut rules: Vec<Rule> = Vec::with_capacity(documents.len());
    let mut problems = Vec::new();
    for document in &documents {
        match rule(document, surroundings) {
            Ok(rule) if rules.iter().any(|earlier| earlier.key == rule.key) => {
                problems.push(Problem {
                    source: rule.source,
                    path: "metadata.name".to_owned(),
                    message: format!("{} is there twice; keep one", rule.key),
                });
            }
            Ok(rule) => rules.push(rule),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if documents.is_empty() {
        problems.push(Problem {
            source: source.to_owned(),
            path: String::new(),
            message: format!("there is nothing in it; expected {EXPECTED}"),
        });
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn unsupported(source: &str, api_version: &str, kind: &str) -> Problem {
    let message = match (api_version, kind) {
        ("", _) | (_, "") => {
            format!("it has no apiVersion and kind; expected {EXPECTED}")
        }
        _ => format!(
            "{kind} ({api_version}) is not supported; there are VirtualService, DestinationRule \
             and Gateway of networking.istio.io, PeerAuthentication of security.istio.io, and \
             HTTPRoute, Gateway and ReferenceGrant of gateway.networking.k8s.io"
        ),
    };
    Problem { source: source.to_owned(), path: "kind".to_owned(), message }
}

fn key(kind: &str, name: &ServiceName) -> RuleKey {
    let ServiceName { name, namespace } = name.clone();
    RuleKey { kind: kind.to_owned(), namespace, name }
}

/// The name and namespace, which become parts of file names: only what Kubernetes allows.
fn name<S>(
    source: &str,
    resource: &Resource<S>,
    default_namespace: &str,
) -> Result<ServiceName, Vec<Problem>> {
    let metadata = &resource.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or(default_namespace);
    let wrong = |field: &str, value: &str, expected: &str| {
        Err(vec![Problem {
            source: source.to_owned(),
            path: format!("metadata.{field}"),
            message: format!(
                "\"{value}\" is no {field}; expected lower-case letters, digits, {expected}, \
                 with a letter or digit at both ends"
            ),
        }])
    };
    if !is_dns_name(&metadata.name) {
        return wrong("name", &metadata.name, "\"-\" and \".\", at most 253");
    }
    // A dot would make `a.b`, `c` and `a`, `b.c` one file.
    if !is_dns_label(namespace) {
        return wrong("namespace", namespace, "and \"-\", at most 63");
    }
    Ok(ServiceName { name: metadata.name.clone(), namespace: namespace.to_owned() })
}

/// RFC 1123, section 2.1, as Kubernetes has it for most names.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

/// RFC 1123, section 2.1, as Kubernetes has it for namespaces.
pub(crate) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

fn is_dns_part(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || c == '-')
}

#[cfg(test)]
mod tests;
