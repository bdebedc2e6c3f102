//! From a document to a rule in the model's words.

use mesh_model::{Gateway, PeerAuthentication, ServiceName, TrafficPolicy, TrafficRoute};

use crate::istio::{
    self, DestinationRuleSpec, GatewaySpec, PeerAuthenticationSpec, Resource, VirtualServiceSpec,
};
use crate::{Document, Problem, RuleKey, documents};

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
    /// A `Gateway` of Istio's.
    Gateway(Gateway),
    /// A `PeerAuthentication`.
    PeerAuthentication(PeerAuthentication),
}

const EXPECTED: &str = "a VirtualService, DestinationRule, Gateway or PeerAuthentication";

/// Whether a document is meant as a rule for the mesh, of a supported kind or not.
pub fn is_rule(document: &Document) -> bool {
    let group = document.api_version().split('/').next().unwrap_or_default();
    group.ends_with(".istio.io") || group == "gateway.networking.k8s.io"
}

/// Reads one rule. `default_namespace` is taken when it names none.
pub fn rule(
    document: &Document,
    default_namespace: &str,
    cluster_domain: &str,
) -> Result<Rule, Vec<Problem>> {
    let source = document.source.as_str();
    let (key, meaning) = match document.kind() {
        "VirtualService" => {
            let resource = istio::read::<VirtualServiceSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key("VirtualService", &name);
            let route = istio::route(source, &resource, name, cluster_domain)?;
            (key, Meaning::Route(route))
        }
        "DestinationRule" => {
            let resource = istio::read::<DestinationRuleSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key("DestinationRule", &name);
            let policy = istio::policy(source, &resource, name, cluster_domain)?;
            (key, Meaning::Policy(policy))
        }
        "Gateway" => {
            let resource = istio::read::<GatewaySpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key("Gateway", &name);
            (key, Meaning::Gateway(istio::gateway(source, &resource, name)?))
        }
        "PeerAuthentication" => {
            let resource = istio::read::<PeerAuthenticationSpec>(document).map_err(|p| vec![p])?;
            let name = name(source, &resource, default_namespace)?;
            let key = key("PeerAuthentication", &name);
            let rule = istio::peer_authentication(source, &resource, name)?;
            (key, Meaning::PeerAuthentication(rule))
        }
        other => return Err(vec![unsupported(source, document.api_version(), other)]),
    };
    Ok(Rule { key, source: source.to_owned(), yaml: document.text.clone(), meaning })
}

/// Reads all rules of a text; everything in it must be one. `source` names its origin.
pub fn parse(
    source: &str,
    text: &str,
    default_namespace: &str,
    cluster_domain: &str,
) -> Result<Vec<Rule>, Vec<Problem>> {
    let documents = documents(source, text).map_err(|problem| vec![problem])?;
    let mut rules: Vec<Rule> = Vec::with_capacity(documents.len());
    let mut problems = Vec::new();
    for document in &documents {
        match rule(document, default_namespace, cluster_domain) {
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
             and Gateway of networking.istio.io, and PeerAuthentication of security.istio.io"
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
