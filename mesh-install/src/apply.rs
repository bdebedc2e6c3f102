//! Server-side apply of one object.

use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::{Api, Client};
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
    /// Its namespace is not there.
    #[error("{object}: {reason}")]
    Missing {
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
            kube::Error::Api(status) if status.code == 404 => Self::Missing { object, reason },
            _ => Self::Refused { object, reason },
        }
    }
}

/// Makes an object what it should be, whoever else had set its fields. Fields that we do not
/// name, such as a webhook's `caBundle`, keep what others gave them.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<Change, ApplyError> {
    let (name, api, old) = look(client, object).await?;
    let Some(old) = old else {
        return patch(&api, &name, object, false).await.map(|_| Change::Created);
    };
    if is_foreign(&name, &old) {
        return Ok(Change::LeftAlone);
    }
    let new = patch(&api, &name, object, false).await?;
    let is_same = old.metadata.resource_version == new.metadata.resource_version;
    Ok(if is_same { Change::Unchanged } else { Change::Changed })
}

/// What [`apply`] would do; nothing is changed. The API server checks an object only when its
/// namespace is there.
pub(crate) async fn would(client: &Client, object: &Value) -> Result<Change, ApplyError> {
    let (name, api, old) = look(client, object).await?;
    if old.as_ref().is_some_and(|old| is_foreign(&name, old)) {
        return Ok(Change::LeftAlone);
    }
    let new = match (patch(&api, &name, object, true).await, &old) {
        (Ok(new), _) => new,
        // The namespace comes with the rest.
        (Err(ApplyError::Missing { .. }), None) => return Ok(Change::Created),
        (Err(error), _) => return Err(error),
    };
    Ok(match old {
        None => Change::Created,
        Some(old) if content(old.clone()) == content(new) => Change::Unchanged,
        Some(_) => Change::Changed,
    })
}

async fn look(
    client: &Client,
    object: &Value,
) -> Result<(ObjectName, Api<DynamicObject>, Option<DynamicObject>), ApplyError> {
    let (name, kind) = named(object)?;
    let api = kind.api(client, name.namespace.as_deref());
    let old =
        api.get_opt(&name.name).await.map_err(|error| ApplyError::of(name.clone(), &error))?;
    Ok((name, api, old))
}

async fn patch(
    api: &Api<DynamicObject>,
    name: &ObjectName,
    object: &Value,
    dry_run: bool,
) -> Result<DynamicObject, ApplyError> {
    let mut parameters = PatchParams::apply(FIELD_MANAGER).force();
    parameters.field_validation = Some(ValidationDirective::Strict);
    parameters.dry_run = dry_run;
    let patched = api.patch(&name.name, &parameters, &Patch::Apply(object)).await;
    patched.map_err(|error| ApplyError::of(name.clone(), &error))
}

/// Without what every write changes.
fn content(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    object
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
/// they are. And a namespace that was there before us: its other pods are not to be held to
/// our pod security, nor is it ours to delete.
fn is_foreign(name: &ObjectName, old: &DynamicObject) -> bool {
    let labels = old.metadata.labels.as_ref();
    matches!(name.kind.as_str(), kinds::DEFINITION | kinds::NAMESPACE)
        && labels.and_then(|labels| labels.get(PART_OF.0)).is_none_or(|value| value != PART_OF.1)
}
