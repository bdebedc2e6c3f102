//! What a rule's status says: whether it is in force, as Istio's and the Gateway API's
//! resources say it, in `status.conditions`.

use mesh_rules::{KUBERNETES_GATEWAY, Problem, RuleKey};
use serde_json::{Value, json};

use super::Verdict;
use crate::cluster::now;

/// The type of our condition.
pub(super) const ACCEPTED: &str = "Accepted";
/// Of a rule that is accepted.
pub(super) const IN_FORCE: &str = "It is in force";

/// Our condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) accepted: bool,
    pub(super) message: String,
    /// The version of the rule that it is about.
    generation: i64,
    /// Since when it is accepted, or is not.
    since: String,
}

impl Shown {
    /// Whether this was said of the same version of the rule: that it is refused.
    pub(super) fn refused_too(&self, now: &Self) -> bool {
        !self.accepted && !now.accepted && self.generation == now.generation
    }
}

/// Our condition in a status.
pub(super) fn shown(status: &Value) -> Option<Shown> {
    let conditions = status.get("conditions")?.as_array()?;
    let own = conditions.iter().find(|condition| condition["type"] == ACCEPTED)?;
    let text = |field: &str| own[field].as_str().unwrap_or_default().to_owned();
    // Istio's CRDs have it as a number or as a text.
    let generation = match &status["observedGeneration"] {
        Value::Null => own["observedGeneration"].as_i64(),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    Some(Shown {
        accepted: own["status"] == "True",
        message: text("message"),
        generation: generation.unwrap_or_default(),
        since: text("lastTransitionTime"),
    })
}

/// What the status is to say; `None`: it says so already.
pub(super) fn wanted(verdict: &Verdict) -> Option<Shown> {
    let Verdict { stored, problems, .. } = verdict;
    let accepted = problems.is_empty();
    let message = match accepted {
        true => IN_FORCE.to_owned(),
        false => text_of(problems),
    };
    let before = stored.shown.as_ref();
    let since = match before.filter(|before| before.accepted == accepted) {
        Some(before) => before.since.clone(),
        None => now(),
    };
    let wanted = Shown { accepted, message, generation: stored.generation, since };
    (before != Some(&wanted)).then_some(wanted)
}

/// Why the rule is refused, if it is.
pub(super) fn refusal(verdict: &Verdict) -> Option<String> {
    (!verdict.problems.is_empty()).then(|| text_of(&verdict.problems))
}

/// A line for each, without the source, which is the rule itself.
pub(super) fn text_of(problems: &[Problem]) -> String {
    let text = |problem: &Problem| Problem { source: String::new(), ..problem.clone() }.to_string();
    problems.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Our condition, as the Gateway API has it, which says of which generation it is.
fn condition(shown: &Shown) -> Value {
    let Shown { accepted, message, generation, since } = shown;
    let (status, reason) = if *accepted { ("True", "Accepted") } else { ("False", "Invalid") };
    json!({
        "type": ACCEPTED,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": since,
    })
}

/// The object to apply to the rule's status.
pub(super) fn patch(key: &RuleKey, verdict: &Verdict, shown: &Shown) -> Value {
    if key.kind == KUBERNETES_GATEWAY {
        return json!({
            "apiVersion": verdict.stored.api_version,
            "kind": "Gateway",
            "metadata": {"name": key.name, "uid": verdict.stored.uid},
            "status": {"conditions": [condition(shown)]},
        });
    }
    let Shown { accepted, message, generation, since } = shown;
    let (status, reason) = if *accepted { ("True", "Accepted") } else { ("False", "Refused") };
    json!({
        "apiVersion": verdict.stored.api_version,
        "kind": key.kind,
        // Another rule of that name is none of this verdict's.
        "metadata": {"name": key.name, "uid": verdict.stored.uid},
        "status": {
            "observedGeneration": generation,
            "conditions": [{
                "type": ACCEPTED,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::written::Stored;
    use super::*;

    fn verdict(generation: i64, shown: Option<Shown>, problems: &[&str]) -> Verdict {
        let problem = |message: &&str| Problem {
            source: "VirtualService shop/cart".to_owned(),
            path: "spec.hosts".to_owned(),
            message: (*message).to_owned(),
        };
        let stored = Stored {
            uid: "1".to_owned(),
            generation,
            api_version: "networking.istio.io/v1".to_owned(),
            shown,
            ..Stored::default()
        };
        let problems = problems.iter().map(problem).collect();
        Verdict { stored, problems, parents: Vec::new() }
    }

    #[test]
    fn a_status_is_written_when_it_says_something_else() {
        let key = "VirtualService shop/cart";
        let key = {
            let (kind, rest) = key.split_once(' ').unwrap();
            let (namespace, name) = rest.split_once('/').unwrap();
            let text = str::to_owned;
            RuleKey { kind: text(kind), namespace: text(namespace), name: text(name) }
        };
        // As the API server would give it back.
        let kept =
            |verdict: &Verdict, wanted: &Shown| shown(&patch(&key, verdict, wanted)["status"]);

        let new = verdict(1, None, &[]);
        let accepted = wanted(&new).unwrap();
        assert!(accepted.accepted);
        let mut shown = kept(&new, &accepted);
        assert_eq!(wanted(&verdict(1, shown.clone(), &[])), None);

        shown.as_mut().unwrap().since = "2026-01-01T00:00:00Z".to_owned();
        let changed = wanted(&verdict(2, shown.clone(), &[])).unwrap();
        assert_eq!(changed.since, "2026-01-01T00:00:00Z", "it was accepted before");
        let bad = verdict(2, shown, &["one", "two"]);
        let refused = wanted(&bad).unwrap();
        assert_ne!(refused.since, "2026-01-01T00:00:00Z");
        let patch = patch(&key, &bad, &refused);
        let condition = &patch["status"]["conditions"][0];
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("Refused"))
        );
        assert_eq!(condition["message"], "spec.hosts: one\nspec.hosts: two");
        assert_eq!(patch["metadata"]["uid"], "1");
    }
}
