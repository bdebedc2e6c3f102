//! One workload's pods, made anew.

use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::wait::{GRACE, Patience, Target, until_ready};
use crate::{ApplyError, Event, Events, FIELD_MANAGER, ObjectName, WaitError, kinds};

/// A workload did not become ready with its new sidecars.
#[derive(Debug, thiserror::Error)]
#[error(
    "stopped at {workload}: {reason}\n{done} of {all} workloads are done and the rest is as it was; \
     `kubectl rollout undo --namespace {} {}/{}` brings its old pods back, and `meshctl upgrade` \
     goes on from here",
    workload.namespace.as_deref().unwrap_or_default(),
    workload.kind.to_lowercase(),
    workload.name
)]
pub struct Sick {
    /// Which.
    pub workload: ObjectName,
    /// What it lacks.
    pub reason: String,
    /// How many were done before it.
    pub done: usize,
    /// How many there are.
    pub all: usize,
}

pub(super) async fn restart(
    client: &Client,
    workload: &ObjectName,
    (done, all): (usize, usize),
    timeout: Duration,
    events: &Events,
) -> Result<(), super::UpgradeError> {
    let Some(kind) = kinds::find(&workload.kind) else { return Ok(()) };
    // As `kubectl rollout restart` does it.
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let patch =
        Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}));
    let parameters =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api = kind.api(client, workload.namespace.as_deref());
    match api.patch(&workload.name, &parameters, &patch).await {
        Ok(_) => {}
        // Somebody has deleted it meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(ApplyError::of(workload.clone(), &error).into()),
    }
    events.tell(Event::Note(format!("{workload}: new pods ({} of {all})", done + 1)));
    let targets = vec![Target::Workload(workload.clone())];
    let sick = |WaitError { missing, .. }| Sick {
        workload: workload.clone(),
        reason: missing.into_iter().map(|missing| missing.why).collect::<Vec<_>>().join(", "),
        done,
        all,
    };
    let patience = Patience::short(timeout, GRACE);
    Ok(until_ready(client, targets, patience, events).await.map_err(sick)?)
}
