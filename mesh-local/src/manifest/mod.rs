//! Kubernetes YAML as the user wrote it: documents, and the few kinds that are run here.

mod document;
mod pod_spec;
mod service;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

pub use document::Document;
pub(crate) use document::{check_label, key_of};
pub(crate) use pod_spec::{Container, EnvVar, PodSpec, Probe, RestartPolicy, Volume, VolumeMount};
pub use service::{Service, ServicePort, TargetPort};

use crate::error::{Error, Result};

/// A namespace and a name in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; `default` when the manifest has none.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Deployment, as far as it is used.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) key: Key,
    pub(crate) at: String,
    pub(crate) replicas: u32,
    pub(crate) template: Value,
}

/// A Pod of its own.
#[derive(Debug, Clone)]
pub(crate) struct PodManifest {
    pub(crate) at: String,
    pub(crate) pod: Value,
}

/// Everything that is to run.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    pub(crate) deployments: BTreeMap<Key, Deployment>,
    pub(crate) pods: BTreeMap<Key, PodManifest>,
    /// The services, by name.
    pub services: BTreeMap<Key, Service>,
    /// Documents that are rules of the mesh: not run, but for the pilot.
    pub rules: Vec<Document>,
}

#[derive(Deserialize)]
struct DeploymentSpec {
    #[serde(default = "one")]
    replicas: u32,
    template: Value,
}

/// Each is a few processes.
const MAX_REPLICAS: u32 = 1_000;

fn one() -> u32 {
    1
}

impl Manifests {
    /// Reads files; `-` is standard input.
    ///
    /// # Errors
    /// A file that cannot be read or is no YAML, and any kind that is not run on one machine.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut documents = Vec::new();
        for file in files {
            documents.extend(Document::read(file)?);
        }
        Self::from_documents(documents)
    }

    /// Sorts documents by kind and checks the parts that are used.
    ///
    /// # Errors
    /// Names the document and the field.
    pub fn from_documents(documents: Vec<Document>) -> Result<Self> {
        let mut manifests = Self::default();
        for document in documents {
            manifests.add(document)?;
        }
        Ok(manifests)
    }

    /// Takes over everything of `newer`, replacing what has the same kind and name.
    pub(crate) fn merge(&mut self, newer: Self) {
        self.deployments.extend(newer.deployments);
        self.pods.extend(newer.pods);
        self.services.extend(newer.services);
        self.rules.extend(newer.rules);
    }

    fn add(&mut self, document: Document) -> Result<()> {
        if document.is_rule() {
            self.rules.push(document);
            return Ok(());
        }
        let at = document.at.clone();
        match document.kind() {
            "Deployment" => {
                let key = document.key()?;
                let spec: DeploymentSpec = document.section("spec")?;
                let Value::Object(_) = spec.template else {
                    return Err(Error::manifest(at, "spec.template: expected a pod template"));
                };
                if spec.replicas > MAX_REPLICAS {
                    let message = format!(
                        "spec.replicas: {} are too many for one machine; at most {MAX_REPLICAS}",
                        spec.replicas
                    );
                    return Err(Error::manifest(at, message));
                }
                let (replicas, template) = (spec.replicas, spec.template);
                self.deployments.insert(key.clone(), Deployment { key, at, replicas, template });
            }
            "Pod" => {
                let key = document.key()?;
                self.pods.insert(key, PodManifest { at, pod: document.value });
            }
            "Service" => {
                let service = Service::from_document(&document)?;
                self.services.insert(service.key.clone(), service);
            }
            // Identities come from pods' spec.serviceAccountName; the object itself does nothing here.
            "ServiceAccount" => {
                document.key()?;
            }
            "" => {
                return Err(Error::manifest(at, "kind is missing; is this a Kubernetes manifest?"));
            }
            kind => {
                return Err(Error::manifest(
                    at,
                    format!(
                        "kind {kind} is not run on one machine; a local mesh runs Deployment, Pod, \
                         Service and ServiceAccount. Take the document out of the file"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Deployment {
    /// The pod that the template describes, under the name that it is given.
    pub(crate) fn pod(&self, name: &str) -> Value {
        let mut metadata = self.template.get("metadata").cloned().unwrap_or_else(|| json!({}));
        if let Some(map) = metadata.as_object_mut() {
            map.insert("name".to_owned(), json!(name));
            map.insert("namespace".to_owned(), json!(self.key.namespace));
        }
        let spec = self.template.get("spec").cloned().unwrap_or(Value::Null);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifests> {
        Manifests::from_documents(Document::parse("a.yaml", text)?)
    }

    #[test]
    fn kinds_go_where_they_belong() {
        let text = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: bookinfo}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: reviews}}
    spec: {containers: [{name: reviews, image: x}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {}
";
        let manifests = read(text).unwrap();
        let deployment = manifests.deployments.values().next().unwrap();
        assert_eq!(deployment.replicas, 2);
        let pod = deployment.pod("reviews-v1-0");
        assert_eq!(pod["metadata"]["name"], "reviews-v1-0");
        assert_eq!(pod["metadata"]["namespace"], "shop");
        assert_eq!(pod["metadata"]["labels"]["app"], "reviews");
        assert_eq!(manifests.rules.len(), 1);
    }

    #[test]
    fn another_kind_is_named_with_its_document() {
        let error =
            read("kind: Pod\nmetadata: {name: a}\n---\nkind: Ingress\nmetadata: {name: b}\n")
                .unwrap_err()
                .to_string();
        assert!(
            error.starts_with("a.yaml document 2 (line 4): kind Ingress is not run"),
            "{error}"
        );
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_state_folder() {
        for name in ["../../etc", "a/b", "A", "-a", "a b", ""] {
            let error = read(&format!("kind: Pod\nmetadata: {{name: {name:?}}}\n")).unwrap_err();
            assert!(error.to_string().contains("metadata.name"), "{error}");
        }
    }

    #[test]
    fn a_namespace_has_no_dots() {
        for namespace in ["a.b", &"a".repeat(64)] {
            let text = format!("kind: Pod\nmetadata: {{name: c, namespace: {namespace}}}\n");
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains("metadata.namespace"), "{error}");
        }
        assert!(read("kind: Pod\nmetadata: {name: b.c, namespace: a}\n").is_ok());
    }

    #[test]
    fn too_many_replicas_are_refused() {
        let text = "kind: Deployment\nmetadata: {name: a}\nspec: {replicas: 4000000000, template: \
                    {}}\n";
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("spec.replicas: 4000000000"), "{error}");
        assert!(read(&text.replace("4000000000", "1000")).is_ok());
    }

    #[test]
    fn broken_yaml_is_named_with_its_line() {
        let error = read("kind: Pod\n---\nkind: [\n").unwrap_err().to_string();
        assert!(error.starts_with("a.yaml document 2"), "{error}");
    }
}
