//! What identifies an object.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

/// An object of a cluster, as a person would call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct ObjectName {
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// The name of an object as it was read.
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = object.get("metadata").unwrap_or(&Value::Null);
        Self {
            kind: object.get("kind").and_then(text).unwrap_or_default(),
            namespace: metadata.get("namespace").and_then(text),
            name: metadata.get("name").and_then(text).unwrap_or_default(),
        }
    }

    /// All objects of a kind, in every namespace, for what is said of a list.
    pub(crate) fn all(kind: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: None, name: "*".to_owned() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(to, "{} {namespace}/{}", self.kind, self.name),
            None => write!(to, "{} {}", self.kind, self.name),
        }
    }
}

/// A label of an object as it was read.
pub(crate) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// What has made an object, and takes it away again.
pub(crate) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}
