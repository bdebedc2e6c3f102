//! Rules in a cluster's API server, under the user's own rights.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use mesh_proto::mesh::v1 as api;
use mesh_rules::route::{self, ExistingRule};
use mesh_rules::{Document, KINDS, RuleKey, RuleKind};
use serde_json::Value;

use crate::cluster::explain;

/// What the API server adds and nobody writes.
const NOTED: [&str; 6] =
    ["managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"];
/// What kubectl adds.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Reads and writes rules.
pub(super) struct Rules {
    client: Client,
    /// `metadata.resourceVersion` of each rule that was read: a write is refused when somebody
    /// has changed it since.
    read: BTreeMap<RuleKey, String>,
}

/// A rule on its way into the API server.
struct Written {
    key: RuleKey,
    resource: ApiResource,
    object: DynamicObject,
}

impl Rules {
    pub(super) fn new(client: Client) -> Self {
        Self { client, read: BTreeMap::new() }
    }

    /// Every rule of those kinds that `meshctl route` changes, as it is stored, in force or not.
    pub(super) async fn list(&mut self) -> Result<Vec<ExistingRule>> {
        let mut rules = Vec::new();
        for kind in KINDS.iter().filter(|kind| route::KINDS.contains(&kind.key)) {
            for (api_version, object) in self.of_kind(kind).await? {
                let key = key(kind, &object);
                let version = object.metadata.resource_version.clone().unwrap_or_default();
                self.read.insert(key.clone(), version);
                let written = as_written(kind, api_version, object)?;
                rules.push(ExistingRule { key, yaml: mesh_yaml::write(&written)? });
            }
        }
        Ok(rules)
    }

    /// In the first version that the API server serves; none when it serves none.
    async fn of_kind(&self, kind: &RuleKind) -> Result<Vec<(&'static str, DynamicObject)>> {
        for api_version in kind.api_versions {
            let resource = resource(kind, api_version);
            let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            match all.list(&ListParams::default()).await {
                Ok(list) => return Ok(list.into_iter().map(|one| (*api_version, one)).collect()),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(explain(error)),
            }
        }
        Ok(Vec::new())
    }

    /// Creates or replaces rules: all are tried before any is written.
    pub(super) async fn apply(&self, yaml: &str, namespace: &str) -> Result<Vec<api::RuleState>> {
        let rules = self.tried(yaml, namespace).await?;
        let mut states: Vec<api::RuleState> = Vec::with_capacity(rules.len());
        for rule in &rules {
            match self.write(rule, false).await {
                Ok(object) => states.push(stored(&rule.key, &object)),
                Err(error) if states.is_empty() => return Err(error),
                Err(error) => {
                    let done: Vec<_> =
                        rules[..states.len()].iter().map(|rule| rule.key.to_string()).collect();
                    return Err(error.context(format!("after {} was written", done.join(", "))));
                }
            }
        }
        Ok(states)
    }

    /// Has the API server and the control plane's webhook check them; nothing is written.
    pub(super) async fn check(&self, yaml: &str, namespace: &str) -> Result<()> {
        self.tried(yaml, namespace).await.map(drop)
    }

    /// Removes a rule, and waits until it is gone.
    pub(super) async fn delete(&self, key: RuleKey) -> Result<api::RuleState> {
        let Some(kind) = KINDS.iter().find(|kind| kind.key == key.kind) else {
            let known: Vec<_> = KINDS.iter().map(|kind| kind.key).collect();
            bail!("there is no kind \"{}\"; there are {}", key.kind, known.join(", "));
        };
        for api_version in kind.api_versions {
            let rules = self.api(&resource(kind, api_version), &key.namespace);
            match rules.delete(&key.name, &DeleteParams::default()).await {
                Ok(_) => {
                    return Ok(api::RuleState { key: Some(wire(&key)), ..Default::default() });
                }
                // Or the API server does not serve that version.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(explain(error)),
            }
        }
        bail!("there is no {key}")
    }

    async fn tried(&self, yaml: &str, namespace: &str) -> Result<Vec<Written>> {
        let documents = mesh_rules::documents("", yaml).map_err(|problem| anyhow!("{problem}"))?;
        let mut rules = Vec::with_capacity(documents.len());
        for document in documents {
            rules.push(written(document, namespace)?);
        }
        for rule in &rules {
            self.write(rule, true).await?;
        }
        Ok(rules)
    }

    /// Replaces the rule when it is there, creates it when not.
    async fn write(&self, rule: &Written, dry_run: bool) -> Result<DynamicObject> {
        let Written { key, resource, object } = rule;
        let rules = self.api(resource, &key.namespace);
        let params = PostParams { dry_run, field_manager: Some("meshctl".to_owned()) };
        let existing = rules.get_opt(&key.name).await.map_err(explain)?;
        let written = match existing {
            None => rules.create(&params, object).await,
            Some(existing) => {
                let mut object = object.clone();
                let (labels, annotations) = (object.metadata.labels, object.metadata.annotations);
                object.metadata = existing.metadata;
                object.metadata.managed_fields = None;
                object.metadata.labels = labels;
                object.metadata.annotations = annotations;
                if let Some(version) = self.read.get(key) {
                    object.metadata.resource_version = Some(version.clone());
                }
                rules.replace(&key.name, &params, &object).await
            }
        };
        written.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 409 => {
                anyhow!("somebody has changed {key} just now; look at it and run this again")
            }
            error => explain(error).context(key.to_string()),
        })
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }
}

fn resource(kind: &RuleKind, api_version: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let named = GroupVersionKind::gvk(group, version, kind.kind);
    ApiResource::from_gvk_with_plural(&named, kind.plural)
}

fn key(kind: &RuleKind, object: &DynamicObject) -> RuleKey {
    RuleKey {
        kind: kind.key.to_owned(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// A document with the namespace that it is for.
fn written(document: Document, namespace: &str) -> Result<Written> {
    let is_it = |kind: &&RuleKind| kind.kind == document.kind() && kind.group() == document.group();
    let Some(kind) = KINDS.iter().find(is_it) else {
        bail!("\"{}\" is no kind of rule", document.kind())
    };
    let resource = resource(kind, document.api_version());
    let mut object: DynamicObject = serde_json::from_value(document.value)?;
    object.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    Ok(Written { key: key(kind, &object), resource, object })
}

/// The rule as somebody wrote it.
fn as_written(kind: &RuleKind, api_version: &str, object: DynamicObject) -> Result<Value> {
    let mut value = serde_json::to_value(object)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        // Lists leave these out.
        object.insert("apiVersion".to_owned(), api_version.into());
        object.insert("kind".to_owned(), kind.kind.into());
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| !NOTED.contains(&field.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    Ok(value)
}

fn stored(key: &RuleKey, object: &DynamicObject) -> api::RuleState {
    api::RuleState {
        key: Some(wire(key)),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
    }
}

fn wire(key: &RuleKey) -> api::RuleKey {
    let RuleKey { kind, namespace, name } = key.clone();
    api::RuleKey { kind, namespace, name }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// An API server with Istio's kinds as they once were, and no Gateway API. Gives what it was
    /// asked for.
    fn old_cluster() -> (Rules, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let server = service_fn(move |request: http::Request<kube::client::Body>| {
            let path = request.uri().path().to_owned();
            let item = json!({"metadata": {"name": "a", "namespace": "shop", "uid": "1",
                "resourceVersion": "7"}, "spec": {"host": "cart", "x": 1}});
            let list = |items: Value| json!({"metadata": {"resourceVersion": "9"}, "items": items});
            let (code, body) = match path.strip_prefix("/apis/networking.istio.io/v1beta1/") {
                Some("destinationrules") => (200, list(json!([item]))),
                Some("virtualservices") => (200, list(json!([]))),
                Some("namespaces/shop/virtualservices/a") => (200, item),
                _ => (
                    404,
                    json!({"kind": "Status", "status": "Failure", "code": 404,
                    "reason": "NotFound", "message": "the server could not find it"}),
                ),
            };
            noted.lock().unwrap().push(path);
            let response = http::Response::builder().status(code);
            let body = kube::client::Body::from(body.to_string().into_bytes());
            async move { Ok::<_, std::convert::Infallible>(response.body(body).unwrap()) }
        });
        (Rules::new(Client::new(server, "default")), asked)
    }

    fn key_of(kind: &str) -> RuleKey {
        RuleKey { kind: kind.to_owned(), namespace: "shop".to_owned(), name: "a".to_owned() }
    }

    #[tokio::test]
    async fn what_routes_are_made_of_is_listed_in_the_version_that_is_served() {
        let (mut rules, asked) = old_cluster();
        let listed = rules.list().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].key, key_of("DestinationRule"));
        let yaml = &listed[0].yaml;
        assert!(yaml.contains("networking.istio.io/v1beta1") && !yaml.contains("uid"), "{yaml}");
        assert_eq!(rules.read[&listed[0].key], "7");
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|path| path.contains("networking.istio.io")), "{asked:?}");
    }

    #[tokio::test]
    async fn every_kind_can_be_removed() {
        let (rules, asked) = old_cluster();
        rules.delete(key_of("VirtualService")).await.unwrap();
        for kind in ["HTTPRoute", "ReferenceGrant", "KubernetesGateway"] {
            let error = rules.delete(key_of(kind)).await.unwrap_err().to_string();
            assert_eq!(error, format!("there is no {kind} shop/a"));
        }
        let grants = "/namespaces/shop/referencegrants/a";
        for version in ["v1", "v1beta1"] {
            let path = format!("/apis/gateway.networking.k8s.io/{version}{grants}");
            assert!(asked.lock().unwrap().contains(&path), "{path}");
        }
        let error = rules.delete(key_of("Sidecar")).await.unwrap_err().to_string();
        assert!(error.contains("there are DestinationRule, Gateway, "), "{error}");
    }
}
