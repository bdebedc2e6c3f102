//! The mesh, onto a cluster.

use std::time::Duration;

use futures_util::future::try_join_all;
use kube::Client;
use serde_json::Value;

use crate::apply::{ApplyError, Change, apply};
use crate::chart::{ChartError, Release, Rendered};
use crate::kinds;
use crate::order::{Step, of_step};
use crate::wait::{Patience, Target, WaitError, until_ready};
use crate::{Event, Events, ObjectName, names, objects};

/// What to install, and how long to wait.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What.
    pub release: Release,
    /// For everything together to be ready.
    pub timeout: Duration,
    /// For what somebody has to mend, such as an image that cannot be had; see [`crate::GRACE`].
    pub grace: Duration,
}

/// Why the mesh is not there, or not all of it. Whatever the reason, it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Nothing was done.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// It stopped in the middle.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Everything is there, and not all of it is ready.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// Applies a release step by step, and waits for each. Nothing is applied when a value is
/// not taken. What is there already is changed where it differs.
///
/// # Errors
/// When it stopped; it can be called again and goes on.
pub async fn install(
    client: &Client,
    settings: &Settings,
    events: &Events,
) -> Result<(), InstallError> {
    let objects = objects(&settings.release)?;
    let patience = Patience::new(settings.timeout, settings.grace);
    let namespace = &settings.release.namespace;
    let step = |step| apply_all(client, of_step(&objects, step), events);

    step(Step::Ground).await?;
    // Both at once: the pilot waits for the kinds by itself, but is ready no sooner.
    step(Step::Pilot).await?;
    let mut targets = targets(&objects, Step::Ground);
    targets.extend(targets_of_pilot(&objects, namespace));
    until_ready(client, targets, patience, events).await?;

    step(Step::Gateway).await?;
    step(Step::Webhook).await?;
    let mut targets = self::targets(&objects, Step::Gateway);
    targets.extend(self::targets(&objects, Step::Webhook));
    until_ready(client, targets, patience, events).await?;
    Ok(())
}

fn targets_of_pilot(objects: &[Rendered], namespace: &str) -> Vec<Target> {
    let mut targets = targets(objects, Step::Pilot);
    // A gateway's pod does not start without it, and is tried again after ever longer pauses.
    targets
        .push(Target::ConfigMap { namespace: namespace.to_owned(), name: names::ROOTS.to_owned() });
    targets
}

/// What becomes ready among the objects of a step.
fn targets(objects: &[Rendered], step: Step) -> Vec<Target> {
    let target = |object: &Value| {
        let name = ObjectName::of(object);
        match name.kind.as_str() {
            kinds::DEFINITION => Some(Target::Definition(name.name)),
            "Deployment" => Some(Target::Workload(name)),
            kind if kind.ends_with("WebhookConfiguration") => Some(Target::Webhook(name)),
            _ => None,
        }
    };
    of_step(objects, step).into_iter().filter_map(target).collect()
}

/// The objects of one kind at once, one kind after the other.
async fn apply_all(
    client: &Client,
    objects: Vec<&Value>,
    events: &Events,
) -> Result<(), ApplyError> {
    for same_kind in objects.chunk_by(|one, other| one["kind"] == other["kind"]) {
        let one = async |object: &Value| {
            let change = apply(client, object).await?;
            let name = ObjectName::of(object);
            events.tell(match change {
                Change::LeftAlone => {
                    Event::LeftAlone(name, "somebody else has made it; it is used as it is")
                }
                change => Event::Applied(name, change),
            });
            Ok(())
        };
        try_join_all(same_kind.iter().map(|object| one(object))).await?;
    }
    Ok(())
}
