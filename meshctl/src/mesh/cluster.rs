//! Rules in a cluster's API server, under the user's own rights.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use mesh_proto::mesh::v1 as api;
use mesh_rules::crd::{self, RuleKind};
use mesh_rules::route::ExistingRule;
use mesh_rules::{Document, RuleKey};
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
    kind: RuleKind,
    object: DynamicObject,
}

impl Rules {
    pub(super) fn new(client: Client) -> Self {
        Self { client, read: BTreeMap::new() }
    }

    /// Every rule of every kind that the API server knows.
    pub(super) async fn list(&mut self) -> Result<Vec<ExistingRule>> {
        let mut rules = Vec::new();
        for kind in crd::kinds() {
            let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(&kind));
            let list = match all.list(&ListParams::default()).await {
                Ok(list) => list,
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(explain(error)),
            };
            for object in list {
                let key = key(&kind, &object);
                let version = object.metadata.resource_version.clone().unwrap_or_default();
                self.read.insert(key.clone(), version);
                rules.push(ExistingRule {
                    key,
                    yaml: mesh_yaml::write(&as_written(&kind, object)?)?,
                });
            }
        }
        Ok(rules)
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
        let Some(kind) = crd::kinds().find(|kind| kind.kind == key.kind) else {
            let known: Vec<_> = crd::kinds().map(|kind| kind.kind).collect();
            bail!("there is no kind \"{}\"; there are {}", key.kind, known.join(", "));
        };
        let rules = self.api(&kind, &key.namespace);
        match rules.delete(&key.name, &DeleteParams::default()).await {
            Ok(_) => Ok(api::RuleState { key: Some(wire(&key)), ..Default::default() }),
            Err(kube::Error::Api(status)) if status.code == 404 => bail!("there is no {key}"),
            Err(error) => Err(explain(error)),
        }
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
        let Written { key, kind, object } = rule;
        let rules = self.api(kind, &key.namespace);
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

    fn api(&self, kind: &RuleKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }
}

fn resource(kind: &RuleKind) -> ApiResource {
    let RuleKind { kind, group, version, plural } = *kind;
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn key(kind: &RuleKind, object: &DynamicObject) -> RuleKey {
    RuleKey {
        kind: kind.kind.to_owned(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// A document with the namespace that it is for.
fn written(document: Document, namespace: &str) -> Result<Written> {
    let kind = crd::kinds().find(|kind| kind.kind == document.kind());
    let Some(kind) = kind else { bail!("\"{}\" is no kind of rule", document.kind()) };
    let mut object: DynamicObject = serde_json::from_value(document.value)?;
    object.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    Ok(Written { key: key(&kind, &object), kind, object })
}

/// The rule as somebody wrote it.
fn as_written(kind: &RuleKind, object: DynamicObject) -> Result<Value> {
    let mut value = serde_json::to_value(object)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        // Lists leave these out.
        object.insert("apiVersion".to_owned(), format!("{}/{}", kind.group, kind.version).into());
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
