//! `/validate`: a rule that is wrong in itself is not stored. One that does not fit the mesh as
//! it is now is, with a warning: what it names may come after it, as when a folder of
//! manifests is applied in the order of its file names.

use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_rules::gateway_api::NotTaken;
use mesh_rules::{
    Document, KUBERNETES_GATEWAY, Meaning, Problem, Rule, RuleKey, check, gateway_api, rule,
};
use serde_json::Value;
use tracing::info;

use super::review::{Decision, Request};
use crate::platform::{MeshConfig, PlatformAdapter, StoredRule, settled};

pub(super) async fn decide(request: &Request, platform: &impl PlatformAdapter) -> Decision {
    let is_good = |decision: &Decision| decision.warnings.is_empty();
    settled(platform.snapshots(), is_good, || decide_now(request, platform)).await
}

fn decide_now(request: &Request, platform: &impl PlatformAdapter) -> Decision {
    let is_written = ["CREATE", "UPDATE"].contains(&request.operation.as_str());
    if !is_written || !request.sub_resource.is_empty() || says_the_same(request) {
        return Decision::allowed();
    }
    let document = Document {
        source: String::new(),
        text: request.object.to_string(),
        value: request.object.clone(),
    };
    let snapshot = Arc::clone(&platform.snapshots().borrow());
    match rule(&document, platform.mesh().surroundings(&request.namespace)) {
        Err(_) if is_for_others(request, &platform.rules(), platform.mesh()) => Decision::allowed(),
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let why = problems.join("; ");
            let (kind, namespace) = (&request.kind.kind, &request.namespace);
            info!(%kind, %namespace, "a rule is refused: {why}");
            Decision::refused(why)
        }
        Ok(rule) => {
            let problems = misfits(rule, platform, &snapshot);
            // Often it is a matter of seconds: a text's next document is what is missing.
            let warnings = problems.iter().map(|problem| {
                format!("stored, and in force by itself once this no longer holds: {problem}")
            });
            Decision { warnings: warnings.collect(), ..Decision::allowed() }
        }
    }
}

/// A rule that was there before the webhook can still be labelled, and taken away.
fn says_the_same(request: &Request) -> bool {
    let spec = |object: &'_ Value| object.get("spec").cloned();
    request.operation == "UPDATE" && spec(&request.object) == spec(&request.old_object)
}

/// Whether it is an `HTTPRoute` none of whose parents is the mesh's: a Service, or a `Gateway`
/// that the mesh runs. It may have what the mesh does not know.
fn is_for_others(request: &Request, in_force: &[StoredRule], mesh: &MeshConfig) -> bool {
    if request.kind.group != gateway_api::GROUP || request.kind.kind != "HTTPRoute" {
        return false;
    }
    let parents = request.object.pointer("/spec/parentRefs").and_then(Value::as_array);
    let is_ours = |parent: &Value| is_ours(parent, &request.namespace, in_force, mesh);
    !parents.into_iter().flatten().any(is_ours)
}

fn is_ours(parent: &Value, own: &str, in_force: &[StoredRule], mesh: &MeshConfig) -> bool {
    let text = |field: &str| parent.get(field).and_then(Value::as_str);
    match text("kind") {
        Some("Service") => true,
        None | Some("Gateway") => {
            let key = RuleKey {
                kind: KUBERNETES_GATEWAY.to_owned(),
                namespace: text("namespace").unwrap_or(own).to_owned(),
                name: text("name").unwrap_or_default().to_owned(),
            };
            let gateway = in_force.iter().find(|rule| rule.key == key);
            let gateway = gateway.and_then(|gateway| parse(gateway, mesh));
            gateway.is_some_and(|rule| matches!(rule.meaning, Meaning::Gateway(_)))
        }
        Some(_) => false,
    }
}

/// What keeps the rule from being in force today.
fn misfits(rule: Rule, platform: &impl PlatformAdapter, now: &Snapshot) -> Vec<Problem> {
    let in_force = platform.rules();
    let others = in_force.iter().filter(|other| other.key != rule.key);
    let mut rules: Vec<Rule> = others.filter_map(|other| parse(other, platform.mesh())).collect();
    let last = rules.len();
    rules.push(rule);
    let refusals = check(&rules.iter().collect::<Vec<_>>(), now.services()).into_iter();
    let own = refusals.filter(|refusal| refusal.rule == last);
    let own = own.map(|refusal| Problem { source: String::new(), ..refusal.problem });
    let not_taken = gateway_api::not_taken(&rules[last], &gateway_api::gateways(rules.iter()));
    let not_taken = not_taken.into_iter().map(|(position, NotTaken { message, .. })| Problem {
        source: String::new(),
        path: format!("spec.parentRefs[{position}]"),
        message,
    });
    own.chain(not_taken).collect()
}

/// A rule in force has been read before.
fn parse(stored: &StoredRule, mesh: &MeshConfig) -> Option<Rule> {
    let surroundings = mesh.surroundings(&stored.key.namespace);
    mesh_rules::parse("", &stored.yaml, surroundings).ok()?.pop()
}
