//! The status of an `HTTPRoute`: conditions for each parent of ours. Other controllers write
//! theirs into the same list.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use mesh_rules::RuleKey;
use mesh_rules::gateway_api::CONTROLLER;
use serde_json::{Value, json};

use super::Verdict;
use super::attached::Parent;
use super::status::{ACCEPTED, IN_FORCE, text_of};
use crate::cluster::condition;

/// So often it is tried when others write at the same time.
const ATTEMPTS: usize = 3;

/// Those in a status that are ours.
pub(super) fn ours(status: &Value) -> Vec<Value> {
    let parents = status.get("parents").and_then(Value::as_array).into_iter().flatten();
    parents.filter(|parent| parent["controllerName"] == CONTROLLER).cloned().collect()
}

/// Writes it, unless it says so already. Gives why the route is refused, when that is new.
pub(super) async fn write(
    api: &Api<DynamicObject>,
    key: &RuleKey,
    verdict: &Verdict,
) -> Result<Option<String>, kube::Error> {
    let wanted = wanted(verdict);
    if wanted == verdict.stored.told {
        return Ok(None);
    }
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        match put(api, &key.name, &wanted).await {
            Err(kube::Error::Api(status)) if status.code == 409 && left > 0 => {}
            other => break other?,
        }
    }
    Ok(refusal(verdict, &wanted))
}

async fn put(api: &Api<DynamicObject>, name: &str, wanted: &[Value]) -> Result<(), kube::Error> {
    let stored = api.get(name).await?;
    let former = stored.data.pointer("/status/parents").and_then(Value::as_array);
    let parents = with_ours(former.map(Vec::as_slice).unwrap_or_default(), wanted);
    if former.is_some_and(|former| *former == parents) || (former.is_none() && parents.is_empty()) {
        return Ok(());
    }
    let patch = json!({
        // Nobody else's may be lost that has been written meanwhile.
        "metadata": {"resourceVersion": stored.metadata.resource_version},
        "status": {"parents": parents},
    });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

fn with_ours(former: &[Value], ours: &[Value]) -> Vec<Value> {
    let others = former.iter().filter(|parent| parent["controllerName"] != CONTROLLER);
    others.chain(ours).cloned().collect()
}

/// What is to be said of each.
fn wanted(verdict: &Verdict) -> Vec<Value> {
    let parents = verdict.parents.iter().map(|parent| {
        let told = verdict.stored.told.iter().find(|told| told["parentRef"] == parent.reference);
        let former = told.map(|told| &told["conditions"]);
        let one = |(what, message): ((&str, bool, &str), String)| {
            condition(former, verdict.stored.generation, what, &message)
        };
        json!({
            "parentRef": parent.reference,
            "controllerName": CONTROLLER,
            "conditions": [one(accepted(verdict, parent)), one(resolved(verdict))],
        })
    });
    parents.collect()
}

/// What is wrong with the route keeps it from all of them.
fn accepted<'a>(verdict: &Verdict, parent: &'a Parent) -> ((&'a str, bool, &'a str), String) {
    match &parent.not_taken {
        _ if !verdict.problems.is_empty() => {
            ((ACCEPTED, false, "Invalid"), text_of(&verdict.problems))
        }
        Some(not_taken) => ((ACCEPTED, false, not_taken.reason), not_taken.message.clone()),
        None => ((ACCEPTED, true, "Accepted"), IN_FORCE.to_owned()),
    }
}

/// Whether what it leads to is there.
fn resolved(verdict: &Verdict) -> ((&'static str, bool, &'static str), String) {
    let mut missing = verdict.problems.clone();
    missing.retain(|problem| problem.path.contains(".backendRefs["));
    match missing.is_empty() {
        true => (("ResolvedRefs", true, "ResolvedRefs"), "What it names is there".to_owned()),
        false => (("ResolvedRefs", false, "BackendNotFound"), text_of(&missing)),
    }
}

/// What has become of it with those that do not accept it, unless that was said of the same
/// version of the route: the words may change with the mesh, and are in the status.
fn refusal(verdict: &Verdict, wanted: &[Value]) -> Option<String> {
    let refused = |parent: &&Value| parent["conditions"][0]["status"] == "False";
    let same =
        |parent: &Value| parent["conditions"][0]["observedGeneration"] == verdict.stored.generation;
    if verdict.stored.told.iter().filter(refused).any(same) {
        return None;
    }
    let mut reasons: Vec<_> = wanted
        .iter()
        .filter(refused)
        .filter_map(|parent| parent["conditions"][0]["message"].as_str())
        .collect();
    reasons.dedup();
    (!reasons.is_empty()).then(|| reasons.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::http::StatusCode;
    use axum::{Json, routing};
    use kube::core::{ApiResource, GroupVersionKind};
    use mesh_rules::Problem;
    use mesh_rules::gateway_api::NotTaken;

    use super::super::written::Stored;
    use super::*;

    fn parent(name: &str, not_taken: Option<(&'static str, &str)>) -> Parent {
        let not_taken =
            not_taken.map(|(reason, message)| NotTaken { reason, message: message.to_owned() });
        Parent { reference: json!({"name": name}), not_taken }
    }

    fn verdict(told: Vec<Value>, parents: Vec<Parent>) -> Verdict {
        let stored = Stored { generation: 3, told, ..Stored::default() };
        Verdict { stored, problems: Vec::new(), parents }
    }

    fn told(wanted: &[Value]) -> Vec<String> {
        let conditions = wanted.iter().flat_map(|parent| parent["conditions"].as_array().unwrap());
        let told = conditions.map(|one| format!("{} {}", one["status"], one["reason"]));
        told.map(|text| text.replace('"', "")).collect()
    }

    #[test]
    fn each_parent_has_its_own_verdict_and_others_words_are_left() {
        let not_taken = Some(("NoMatchingParent", "no listener \"b\""));
        let first = verdict(Vec::new(), vec![parent("edge", None), parent("side", not_taken)]);
        let said = wanted(&first);
        assert_eq!(
            told(&said),
            ["True Accepted", "True ResolvedRefs", "False NoMatchingParent", "True ResolvedRefs"]
        );
        assert_eq!(said[1]["conditions"][0]["observedGeneration"], 3);
        assert_eq!(refusal(&first, &said).as_deref(), Some("no listener \"b\""));

        let others = json!({"controllerName": "a.com/b", "parentRef": {"name": "others"}});
        let gone = json!({"controllerName": CONTROLLER, "parentRef": {"name": "gone"}});
        let all = with_ours(&[gone, others.clone()], &said);
        assert_eq!((all.len(), &all[0], &all[1..]), (3, &others, &said[..]));
        assert_eq!(ours(&json!({"parents": all})), said, "as the API server gives it back");
    }

    #[test]
    fn since_when_is_kept_and_an_event_is_told_once() {
        let not_taken = |message| vec![parent("edge", Some(("NoMatchingParent", message)))];
        let mut said = wanted(&verdict(Vec::new(), not_taken("one")));
        said[0]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        let again = verdict(said.clone(), not_taken("another"));
        let now = wanted(&again);
        assert_eq!(now[0]["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(refusal(&again, &now), None);
        let accepted = wanted(&verdict(said, vec![parent("edge", None)]));
        assert_ne!(accepted[0]["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_wrong_with_the_route_every_parent_says() {
        let mut wrong = verdict(Vec::new(), vec![parent("edge", None), parent("side", None)]);
        wrong.problems.push(Problem {
            source: "HTTPRoute shop/a".to_owned(),
            path: "spec.rules[0].backendRefs[0]".to_owned(),
            message: "there is no service b".to_owned(),
        });
        let said = wanted(&wrong);
        let each = ["False Invalid", "False BackendNotFound"];
        assert_eq!(told(&said), [each, each].concat());
        let refusal = refusal(&wrong, &said);
        assert_eq!(refusal.as_deref(), Some("spec.rules[0].backendRefs[0]: there is no service b"));
    }

    #[tokio::test]
    async fn what_others_write_at_the_same_time_stays() {
        let others = json!({"controllerName": "a.com/b", "parentRef": {"name": "others"}});
        let versions = Arc::new(AtomicU64::new(1));
        let (read, compared) = (Arc::clone(&versions), versions);
        let get = move || async move {
            let version = read.load(Ordering::Relaxed).to_string();
            Json(json!({"apiVersion": "a/v1", "kind": "A",
                "metadata": {"name": "a", "resourceVersion": version},
                "status": {"parents": [others]}}))
        };
        // Somebody is first, once.
        let patch = move |Json(patch): Json<Value>| async move {
            let version = compared.fetch_max(2, Ordering::Relaxed).to_string();
            assert_eq!(patch["status"]["parents"].as_array().unwrap().len(), 2);
            let is_now = patch["metadata"]["resourceVersion"] == "2" && version == "2";
            let status = json!({"kind": "Status", "status": "Failure", "code": 409,
                "reason": "Conflict", "message": "it has changed"});
            let object = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}});
            match is_now {
                true => (StatusCode::OK, Json(object)),
                false => (StatusCode::CONFLICT, Json(status)),
            }
        };
        let stub = axum::Router::new()
            .route("/apis/a/v1/namespaces/shop/as/a", routing::get(get))
            .route("/apis/a/v1/namespaces/shop/as/a/status", routing::patch(patch));
        let client = crate::cluster::client_of(stub).await;
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("a", "v1", "A"), "as");
        let api = Api::namespaced_with(client, "shop", &resource);
        let key = RuleKey { kind: "HTTPRoute".into(), namespace: "shop".into(), name: "a".into() };
        let new = verdict(Vec::new(), vec![parent("edge", None)]);
        assert_eq!(write(&api, &key, &new).await.unwrap(), None);
    }
}
