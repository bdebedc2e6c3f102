//! The status of an `HTTPRoute`: the same condition for each parent of ours. Other controllers
//! write theirs into the same list.

use std::collections::BTreeMap;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use mesh_rules::gateway_api::{CONTROLLER, GROUP};
use mesh_rules::{KUBERNETES_GATEWAY, RuleKey};
use serde_json::{Value, json};

use super::Verdict;
use super::status::{Shown, condition};

/// Writes it. `verdicts` are those of all rules.
pub(super) async fn write(
    api: &Api<DynamicObject>,
    key: &RuleKey,
    verdict: &Verdict,
    shown: &Shown,
    verdicts: &BTreeMap<RuleKey, Verdict>,
) -> Result<(), kube::Error> {
    let ours: Vec<&Value> = verdict
        .stored
        .parents
        .iter()
        .filter(|parent| is_ours(parent, &key.namespace, verdicts))
        .collect();
    let stored = api.get(&key.name).await?;
    let former = stored.data.pointer("/status/parents").and_then(Value::as_array);
    let parents = with_ours(former.map(Vec::as_slice).unwrap_or_default(), &ours, shown);
    if former.is_some_and(|former| *former == parents) || (former.is_none() && parents.is_empty()) {
        return Ok(());
    }
    let patch = json!({
        // Nobody else's may be lost that has been written meanwhile.
        "metadata": {"resourceVersion": stored.metadata.resource_version},
        "status": {"parents": parents},
    });
    api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

/// A service, or a gateway of our class.
fn is_ours(parent: &Value, namespace: &str, verdicts: &BTreeMap<RuleKey, Verdict>) -> bool {
    let text = |field: &str| parent[field].as_str();
    if text("kind") == Some("Service") {
        return true;
    }
    let gateway = RuleKey {
        kind: KUBERNETES_GATEWAY.to_owned(),
        namespace: text("namespace").unwrap_or(namespace).to_owned(),
        name: text("name").unwrap_or_default().to_owned(),
    };
    let is_gateway = text("group").is_none_or(|group| group == GROUP)
        && text("kind").is_none_or(|kind| kind == "Gateway");
    let known = verdicts.get(&gateway);
    is_gateway && known.is_some_and(|verdict| !verdict.stored.foreign)
}

fn with_ours(former: &[Value], ours: &[&Value], shown: &Shown) -> Vec<Value> {
    let others = former.iter().filter(|parent| parent["controllerName"] != CONTROLLER).cloned();
    let ours = ours.iter().map(|parent| {
        json!({
            "parentRef": parent,
            "controllerName": CONTROLLER,
            "conditions": [condition(shown), resolved(shown)],
        })
    });
    others.chain(ours).collect()
}

/// Whether what it names is there: what is not is the only thing that its messages tell of
/// backends.
fn resolved(shown: &Shown) -> Value {
    let missing = !shown.accepted && shown.message.contains(".backendRefs[");
    let mut condition = condition(shown);
    condition["type"] = json!("ResolvedRefs");
    let (status, reason) =
        if missing { ("False", "BackendNotFound") } else { ("True", "ResolvedRefs") };
    condition["status"] = json!(status);
    condition["reason"] = json!(reason);
    if !missing {
        condition["message"] = json!("What it names is there");
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::cluster::status::wanted;
    use crate::platform::cluster::written::Stored;

    fn verdict(foreign: bool) -> Verdict {
        let stored = Stored {
            uid: "1".to_owned(),
            generation: 3,
            api_version: "gateway.networking.k8s.io/v1".to_owned(),
            shown: None,
            foreign,
            parents: Vec::new(),
        };
        Verdict { stored, problems: Vec::new() }
    }

    #[test]
    fn only_our_parents_are_spoken_for_and_others_are_left() {
        let gateway = |name: &str| RuleKey {
            kind: KUBERNETES_GATEWAY.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let verdicts =
            BTreeMap::from([(gateway("edge"), verdict(false)), (gateway("others"), verdict(true))]);
        let ours = |parent: Value| is_ours(&parent, "shop", &verdicts);
        assert!(ours(json!({"name": "edge"})));
        assert!(ours(json!({"group": GROUP, "kind": "Gateway", "name": "edge"})));
        assert!(ours(json!({"group": "", "kind": "Service", "name": "cart"})));
        assert!(!ours(json!({"name": "others"})));
        assert!(!ours(json!({"name": "edge", "namespace": "bank"})));

        let shown = wanted(&verdict(false)).unwrap();
        let former = [
            json!({"controllerName": "a.com/b", "parentRef": {"name": "others"}}),
            json!({"controllerName": CONTROLLER, "parentRef": {"name": "gone"}}),
        ];
        let parents = with_ours(&former, &[&json!({"name": "edge"})], &shown);
        assert_eq!(parents.len(), 2);
        assert_eq!(parents[0], former[0]);
        assert_eq!(parents[1]["parentRef"]["name"], "edge");
        let conditions = parents[1]["conditions"].as_array().unwrap();
        assert_eq!(conditions[0]["observedGeneration"], 3);
        let status: Vec<_> = conditions.iter().map(|c| (&c["type"], &c["status"])).collect();
        assert_eq!(
            status,
            [(&json!("Accepted"), &json!("True")), (&json!("ResolvedRefs"), &json!("True"))]
        );
    }
}
