//! A rule as the API server keeps it.

use kube::core::DynamicObject;
use mesh_rules::{Document, Problem, Rule, RuleKey, RuleKind, rule};
use serde_json::{Map, Value, json};

use super::parents;
use super::status::{self, Shown};
use crate::platform::MeshConfig;

/// What the API server adds to what the user wrote.
const ADDED: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];
/// What kubectl adds, for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A rule, read; its problems have the rule's key for their source.
#[derive(Debug)]
pub(super) struct ReadRule {
    pub(super) key: RuleKey,
    pub(super) uid: String,
    /// Grows by each change of what is wanted.
    pub(super) generation: i64,
    pub(super) api_version: String,
    /// What its status says.
    pub(super) shown: Option<Shown>,
    /// Of an `HTTPRoute`: its `parentRefs`.
    pub(super) parents: Vec<Value>,
    /// Of an `HTTPRoute`: what its status says of parents of ours.
    pub(super) told: Vec<Value>,
    pub(super) rule: Result<Rule, Vec<Problem>>,
}

pub(super) fn read(kind: &RuleKind, object: DynamicObject, mesh: &MeshConfig) -> ReadRule {
    let DynamicObject { types, metadata, data } = object;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let key = RuleKey {
        kind: kind.key.to_owned(),
        namespace: text(&metadata.namespace),
        name: text(&metadata.name),
    };
    let (uid, generation) = (text(&metadata.uid), metadata.generation.unwrap_or_default());
    let api_version = types.map(|types| types.api_version).unwrap_or_default();
    let shown = data.get("status").and_then(status::shown);
    let told = data.get("status").map(parents::ours).unwrap_or_default();
    let parents = data.pointer("/spec/parentRefs").and_then(Value::as_array);
    let parents = parents.cloned().unwrap_or_default();
    let created = metadata.creation_timestamp.clone();
    let mut whole = Map::from_iter([
        ("apiVersion".to_owned(), json!(api_version)),
        ("kind".to_owned(), json!(kind.kind)),
        ("metadata".to_owned(), written(serde_json::to_value(&metadata).unwrap_or_default())),
    ]);
    if let Value::Object(rest) = data {
        whole.extend(rest.into_iter().filter(|(field, _)| field != "status"));
    }
    let document = document(&key, Value::Object(whole)).map(|mut document| {
        // Of two the older one may count; the user did not write it.
        document.value["metadata"]["creationTimestamp"] = json!(created);
        document
    });
    let rule = document.and_then(|document| rule(&document, mesh.surroundings(&key.namespace)));
    ReadRule { key, uid, generation, api_version, shown, parents, told, rule }
}

fn document(key: &RuleKey, value: Value) -> Result<Document, Vec<Problem>> {
    let source = key.to_string();
    match mesh_yaml::write(&value) {
        Ok(text) => Ok(Document { source, text, value }),
        Err(error) => {
            Err(vec![Problem { source, path: String::new(), message: error.to_string() }])
        }
    }
}

/// Metadata without what the API server and kubectl added.
fn written(mut metadata: Value) -> Value {
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.retain(|field, _| !ADDED.contains(&field.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use mesh_model::Scope;
    use mesh_rules::{KINDS, Meaning};

    use super::*;

    fn route(metadata: Value, spec: Value) -> ReadRule {
        let kind = KINDS.iter().find(|kind| kind.kind == "VirtualService").unwrap();
        let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": metadata, "spec": spec, "status": {"x": 1}});
        read(kind, serde_json::from_value(object).unwrap(), &MeshConfig::default())
    }

    #[test]
    fn a_rule_is_shown_as_it_was_written() {
        let metadata = json!({"name": "a", "namespace": "shop", "uid": "1", "generation": 7,
            "resourceVersion": "5", "managedFields": [{}], "labels": {"app": "a"},
            "annotations": {LAST_APPLIED: "{}"}});
        let spec = json!({"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]});
        let read = route(metadata, spec.clone());
        assert_eq!((read.uid.as_str(), read.generation), ("1", 7));
        assert_eq!(read.key.to_string(), "VirtualService shop/a");
        let yaml = read.rule.unwrap().yaml;
        let shown = mesh_rules::documents("", &yaml).unwrap().remove(0).value;
        let expected = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "a"}}, "spec": spec});
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_mode_in_the_pilots_own_namespace_is_the_meshs() {
        let kind = KINDS.iter().find(|kind| kind.kind == "PeerAuthentication").unwrap();
        let object = json!({"apiVersion": "security.istio.io/v1", "kind": kind.kind,
            "metadata": {"name": "a", "namespace": "foo"}, "spec": {"mtls": {"mode": "STRICT"}}});
        let mesh = MeshConfig { root_namespace: "foo".to_owned(), ..MeshConfig::default() };
        let rule = read(kind, serde_json::from_value(object).unwrap(), &mesh).rule.unwrap();
        let Meaning::PeerAuthentication(found) = rule.meaning else { panic!("{rule:?}") };
        assert_eq!(found.scope, Scope::Mesh);
    }

    #[test]
    fn what_is_wrong_is_said_of_the_rule() {
        let read = route(json!({"name": "a", "namespace": "shop"}), json!({"hots": ["a"]}));
        let problem = read.rule.unwrap_err().remove(0);
        assert_eq!(
            (problem.source.as_str(), problem.path.as_str()),
            ("VirtualService shop/a", "spec.hots")
        );
    }
}
