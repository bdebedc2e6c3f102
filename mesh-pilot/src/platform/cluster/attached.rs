//! What an `HTTPRoute` is to each of its parents that is ours.

use std::collections::BTreeMap;

use mesh_model::ServiceName;
use mesh_rules::gateway_api::{self, GROUP, Gateways, NotTaken};
use mesh_rules::{KUBERNETES_GATEWAY, Rule, RuleKey};
use serde_json::Value;

use super::written::Stored;

/// A service, or a gateway of our class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parent {
    /// As the route names it.
    pub(super) reference: Value,
    /// Why that gateway does not take the route.
    pub(super) not_taken: Option<NotTaken>,
}

/// The gateways that are ours.
pub(super) struct Ours<'a> {
    in_force: Gateways<'a>,
    stored: Vec<ServiceName>,
}

/// What a `parentRef` names.
enum Target {
    Service,
    Gateway(ServiceName),
}

impl<'a> Ours<'a> {
    /// Of the rules in force, and of all that the API server keeps.
    pub(super) fn new<'b>(
        in_force: impl Iterator<Item = &'a Rule>,
        stored: impl Iterator<Item = (&'b RuleKey, &'b Stored)>,
    ) -> Self {
        let gateways = stored.filter(|(key, one)| key.kind == KUBERNETES_GATEWAY && !one.foreign);
        let name = |key: &RuleKey| ServiceName {
            name: key.name.clone(),
            namespace: key.namespace.clone(),
        };
        Self {
            in_force: gateway_api::gateways(in_force),
            stored: gateways.map(|(key, _)| name(key)).collect(),
        }
    }

    /// The parents of a route; `rule` is what is in force of it, when that is what is stored.
    pub(super) fn parents(
        &self,
        key: &RuleKey,
        stored: &Stored,
        rule: Option<&Rule>,
    ) -> Vec<Parent> {
        let mut not_taken =
            rule.map_or_else(BTreeMap::new, |rule| gateway_api::not_taken(rule, &self.in_force));
        let parents = stored.parents.iter().enumerate();
        let parents = parents.filter_map(|(position, reference)| {
            let not_taken = match target(reference, &key.namespace)? {
                Target::Service => None,
                Target::Gateway(name) if self.in_force.contains_key(&name) => {
                    not_taken.remove(&position)
                }
                Target::Gateway(name) if self.stored.contains(&name) => Some(NotTaken {
                    reason: "NoMatchingParent",
                    message: format!(
                        "Gateway {}/{} is refused itself, and takes nothing",
                        name.namespace, name.name
                    ),
                }),
                Target::Gateway(_) => return None,
            };
            Some(Parent { reference: reference.clone(), not_taken })
        });
        parents.collect()
    }
}

fn target(reference: &Value, own: &str) -> Option<Target> {
    let text = |field: &str| reference[field].as_str();
    match (text("group").unwrap_or(GROUP), text("kind").unwrap_or("Gateway")) {
        ("" | "core", "Service") => Some(Target::Service),
        (GROUP, "Gateway") => Some(Target::Gateway(ServiceName {
            name: text("name").unwrap_or_default().to_owned(),
            namespace: text("namespace").unwrap_or(own).to_owned(),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mesh_rules::{Surroundings, parse};
    use serde_json::json;

    use super::*;

    #[test]
    fn only_our_parents_are_spoken_for_each_by_itself() {
        let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
            metadata: {name: edge, namespace: shop}\n\
            spec: {gatewayClassName: mesh, listeners: [{name: a, port: 80, protocol: HTTP}]}\n---\n\
            apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
            metadata: {name: r, namespace: shop}\n\
            spec: {parentRefs: [{name: others}, {name: edge, port: 81}, {name: edge}], \
            rules: [{backendRefs: [{name: a, port: 1}]}]}\n";
        let rules = parse("", text, Surroundings::default()).unwrap();
        let gateway = |name: &str, foreign| {
            let kind = KUBERNETES_GATEWAY.to_owned();
            let key = RuleKey { kind, namespace: "shop".to_owned(), name: name.to_owned() };
            (key, Stored { foreign, ..Stored::default() })
        };
        let kept = [gateway("edge", false), gateway("others", true), gateway("broken", false)];
        let ours = Ours::new(rules.iter(), kept.iter().map(|(key, one)| (key, one)));
        let parents = |references: Value, rule| {
            let stored =
                Stored { parents: references.as_array().unwrap().clone(), ..Stored::default() };
            let parents = ours.parents(&rules[1].key, &stored, rule);
            let parents = parents.into_iter().map(|Parent { reference, not_taken }| {
                (reference, not_taken.map_or("", |not_taken| not_taken.reason))
            });
            parents.collect::<Vec<_>>()
        };
        let named = json!([{"name": "others"}, {"name": "edge", "port": 81}, {"name": "edge"}]);
        assert_eq!(
            parents(named.clone(), Some(&rules[1])),
            [(named[1].clone(), "NoMatchingParent"), (named[2].clone(), "")]
        );
        let service = json!({"group": "", "kind": "Service", "name": "cart"});
        let named = json!([{"group": GROUP, "kind": "Gateway", "name": "edge"}, service,
            {"name": "edge", "namespace": "bank"}, {"name": "broken"}, {"kind": "Other"}]);
        assert_eq!(
            parents(named.clone(), None),
            [(named[0].clone(), ""), (service, ""), (named[3].clone(), "NoMatchingParent")]
        );
    }
}
