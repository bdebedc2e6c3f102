//! Server-side apply of one object.

use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::Value;

use crate::kinds::{self, Kind};
use crate::{ObjectName, PART_OF, explain};

/// The owner of the fields that meshctl sets.
pub const FIELD_MANAGER: &str = "meshctl";

/// What applying an object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there and is different now.
    Changed,
    /// It was there as it should be.
    Unchanged,
    /// It belongs to somebody else, and was not touched.
    LeftAlone,
}

/// Why an object could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No right to.
    #[error("{object}: {reason}; ask for the rights of a cluster's administrator")]
    Forbidden {
        /// Which.
        object: ObjectName,
        /// The API server's words.
        reason: String,
    },
    /// The API server refused it, or did not answer.
    #[error("{object}: {reason}")]
    Refused {
        /// Which.
        object: ObjectName,
        /// The API server's words.
        reason: String,
    },
}

impl ApplyError {
    pub(crate) fn of(object: ObjectName, error: &kube::Error) -> Self {
        let reason = explain(error);
        match error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
                Self::Forbidden { object, reason }
            }
            _ => Self::Refused { object, reason },
        }
    }
}

/// Makes an object what it should be, whoever else had set its fields. Fields that we do not
/// name, such as a webhook's `caBundle`, keep what others gave them.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<Change, ApplyError> {
    let (name, kind) = named(object)?;
    let api = kind.api(client, name.namespace.as_deref());
    let failed = |error: &kube::Error| ApplyError::of(name.clone(), error);
    let old = api.get_opt(&name.name).await.map_err(|error| failed(&error))?;
    if old.as_ref().is_some_and(|old| is_foreign(kind, old)) {
        return Ok(Change::LeftAlone);
    }
    let mut parameters = PatchParams::apply(FIELD_MANAGER).force();
    parameters.field_validation = Some(kube::api::ValidationDirective::Strict);
    let new = api.patch(&name.name, &parameters, &Patch::Apply(object)).await;
    let new = new.map_err(|error| failed(&error))?;
    Ok(match old {
        None => Change::Created,
        Some(old) if old.metadata.resource_version == new.metadata.resource_version => {
            Change::Unchanged
        }
        Some(_) => Change::Changed,
    })
}

/// The name and the kind of an object of the chart.
fn named(object: &Value) -> Result<(ObjectName, &'static Kind), ApplyError> {
    let name = ObjectName::of(object);
    match kinds::find(&name.kind) {
        Some(kind) => Ok((name, kind)),
        None => {
            let reason = "meshctl does not know this kind".to_owned();
            Err(ApplyError::Refused { object: name, reason })
        }
    }
}

/// A definition that another mesh has made: its kinds are ours, too, and we use them as
/// they are.
fn is_foreign(kind: &Kind, old: &DynamicObject) -> bool {
    let labels = old.metadata.labels.as_ref();
    kind.kind == "CustomResourceDefinition"
        && labels.and_then(|labels| labels.get(PART_OF.0)).is_none_or(|value| value != PART_OF.1)
}
