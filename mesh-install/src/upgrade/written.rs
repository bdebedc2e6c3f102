//! Workloads into whose manifests `meshctl inject` has written sidecars.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::ListParams;
use mesh_inject::STATUS_ANNOTATION;
use serde_json::Value;

use super::wanted;
use crate::kinds::{self, CRON_JOB, WORKLOADS};
use crate::object::label;
use crate::{ApplyError, ObjectName, PART_OF};

/// Such a workload, and the metadata of its pods.
pub(crate) struct Written {
    pub(crate) name: ObjectName,
    pub(crate) metadata: ObjectMeta,
}

impl Written {
    /// The revision whose settings it was injected by.
    pub(crate) fn revision(&self) -> Option<&str> {
        wanted::revision(&self.metadata)
    }
}

/// All of them, whether they have pods at the moment or not; what pilots write is not theirs.
pub(crate) async fn find(client: &Client) -> Result<Vec<Written>, ApplyError> {
    let mut written = Vec::new();
    for kind in WORKLOADS.iter().chain([&CRON_JOB]) {
        let listed = kind.api(client, None).list(&ListParams::default()).await;
        let listed = listed.map_err(|error| ApplyError::of(ObjectName::all(kind.kind), &error))?;
        let objects = listed.items.iter().map(|object| kinds::value(kind, object));
        written.extend(objects.filter_map(|object| {
            let is_made_by_pilot = label(&object, PART_OF.0) == Some(PART_OF.1);
            let metadata = template(&object)["metadata"].clone();
            let is_it = is_written(&metadata) && !is_made_by_pilot;
            let metadata = is_it.then(|| serde_json::from_value(metadata).ok()).flatten()?;
            Some(Written { name: ObjectName::of(&object), metadata })
        }));
    }
    Ok(written)
}

/// What a workload makes its pods by.
pub(super) fn template(workload: &Value) -> &Value {
    match workload["kind"].as_str() {
        Some("CronJob") => &workload["spec"]["jobTemplate"]["spec"]["template"],
        _ => &workload["spec"]["template"],
    }
}

/// Whether a template with this metadata has been injected.
pub(super) fn is_written(metadata: &Value) -> bool {
    metadata["annotations"][STATUS_ANNOTATION].is_string()
}
