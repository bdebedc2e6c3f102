//! `/validate`: a rule that is wrong in itself is not stored. One that does not fit the mesh as
//! it is now is, with a warning: what it names may come after it, as when a folder of
//! manifests is applied in the order of its file names.

use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_rules::{Document, Problem, Rule, check, rule};
use tracing::info;

use super::review::{Decision, Request};
use crate::platform::{PlatformAdapter, StoredRule};

pub(super) fn decide(request: &Request, platform: &impl PlatformAdapter) -> Decision {
    let is_written = ["CREATE", "UPDATE"].contains(&request.operation.as_str());
    if !is_written || !request.sub_resource.is_empty() {
        return Decision::allowed();
    }
    let document = Document {
        source: String::new(),
        text: request.object.to_string(),
        value: request.object.clone(),
    };
    let snapshot = Arc::clone(&platform.snapshots().borrow());
    match rule(&document, &request.namespace, snapshot.cluster_domain()) {
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let why = problems.join("; ");
            let (kind, namespace) = (&request.kind.kind, &request.namespace);
            info!(%kind, %namespace, "a rule is refused: {why}");
            Decision::refused(why)
        }
        Ok(rule) => {
            let problems = misfits(rule, &platform.rules(), &snapshot);
            let warnings = problems.iter().map(|problem| format!("not in force yet: {problem}"));
            Decision { warnings: warnings.collect(), ..Decision::allowed() }
        }
    }
}

/// What keeps the rule from being in force today.
fn misfits(rule: Rule, in_force: &[StoredRule], mesh: &Snapshot) -> Vec<Problem> {
    let others = in_force.iter().filter(|other| other.key != rule.key);
    let mut rules: Vec<Rule> = others.filter_map(|other| parse(other, mesh)).collect();
    let last = rules.len();
    rules.push(rule);
    let refusals = check(&rules.iter().collect::<Vec<_>>(), mesh.services()).into_iter();
    let own = refusals.filter(|refusal| refusal.rule == last);
    own.map(|refusal| Problem { source: String::new(), ..refusal.problem }).collect()
}

/// A rule in force has been read before.
fn parse(stored: &StoredRule, mesh: &Snapshot) -> Option<Rule> {
    let namespace = &stored.key.namespace;
    mesh_rules::parse("", &stored.yaml, namespace, mesh.cluster_domain()).ok()?.pop()
}
