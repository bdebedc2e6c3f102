//! The proxies, brought to the control plane that is there: namespaces are moved to a
//! revision, workloads whose sidecars are of another one or of another version are rolled out
//! anew, one after the other, and the first that becomes sick ends it.

mod namespaces;
mod rollout;
mod workloads;

use std::time::Duration;

use kube::Client;

use crate::chart::{Release, Rendered};
use crate::{ApplyError, Events, ObjectName};

pub(crate) use namespaces::in_mesh;
pub use rollout::Sick;

/// What an upgrade of the proxies comes to.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    /// Namespaces that ask for another revision as yet.
    pub namespaces: Vec<String>,
    /// Workloads whose pods are made anew.
    pub workloads: Vec<ObjectName>,
    /// Workloads that have to be brought along by hand, and why.
    pub by_hand: Vec<(ObjectName, &'static str)>,
    revision: String,
}

/// Why proxies were not all brought along.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The API server refused something.
    #[error(transparent)]
    Refused(#[from] ApplyError),
    /// A workload did not come up with its new sidecars.
    #[error(transparent)]
    Sick(#[from] Sick),
}

/// Looks which proxies are not of this release. With `only`, in these namespaces alone.
///
/// # Errors
/// When the API server does not say.
pub async fn find_stale(
    client: &Client,
    release: &Release,
    objects: &[Rendered],
    only: &[String],
) -> Result<Rollout, UpgradeError> {
    let wanted = workloads::Wanted::of(objects);
    let mut rollout = Rollout { revision: wanted.revision.clone(), ..Rollout::default() };
    let all = namespaces::in_mesh(client, &release.namespace).await?;
    for namespace in all.iter().filter(|one| only.is_empty() || only.contains(&one.name)) {
        if namespace.revision != wanted.revision {
            rollout.namespaces.push(namespace.name.clone());
        }
        workloads::find(client, &namespace.name, &wanted, &mut rollout).await?;
    }
    Ok(rollout)
}

/// Moves the namespaces, then makes the pods anew, workload by workload. Each has `timeout` to
/// be ready.
///
/// # Errors
/// At the first workload that does not become ready; those after it are as they were.
pub async fn roll_out(
    client: &Client,
    rollout: &Rollout,
    timeout: Duration,
    events: &Events,
) -> Result<(), UpgradeError> {
    for namespace in &rollout.namespaces {
        namespaces::move_to(client, namespace, &rollout.revision, events).await?;
    }
    for (done, workload) in rollout.workloads.iter().enumerate() {
        let place = (done, rollout.workloads.len());
        rollout::restart(client, workload, place, timeout, events).await?;
    }
    Ok(())
}
