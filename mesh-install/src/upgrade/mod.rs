//! The proxies, brought to the control plane that is there: namespaces are moved to a
//! revision, workloads whose sidecars are of another one or of another version are rolled out
//! anew, one after the other, and the first that becomes sick ends it.

mod by_hand;
mod namespaces;
mod owners;
mod rollout;
mod search;
mod wanted;
mod written;

use std::time::Duration;

use kube::Client;

use crate::chart::{Release, Rendered};
use crate::kinds;
use crate::revisions::Revisions;
use crate::{ApplyError, Events, ObjectName};

pub(crate) use namespaces::{Says, all as namespaces};
pub use rollout::Sick;
pub(crate) use written::find as written;

/// Which proxies an upgrade is about.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Those of these namespaces; of all when none is named.
    pub only: Vec<String>,
    /// Not only those of the release's revision: namespaces that ask for another one of this
    /// mesh are moved to it.
    pub moves: bool,
}

impl Which {
    fn has(&self, namespace: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| one == namespace)
    }
}

/// What an upgrade of the proxies comes to.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    /// Namespaces that ask for another revision as yet.
    pub namespaces: Vec<String>,
    /// Workloads whose pods are made anew.
    pub workloads: Vec<ObjectName>,
    /// What has to be brought along by hand: why, and by which command.
    pub by_hand: Vec<(ObjectName, String)>,
    revision: String,
}

impl Rollout {
    fn new_pods(&mut self, workload: ObjectName) {
        if !self.workloads.contains(&workload) {
            self.workloads.push(workload);
        }
    }

    fn by_hand(&mut self, object: &ObjectName, why: String) {
        if !self.by_hand.iter().any(|(other, _)| other == object) {
            self.by_hand.push((object.clone(), why));
        }
    }
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

/// Looks which proxies are not of this release.
///
/// # Errors
/// When the API server does not say.
pub async fn find_stale(
    client: &Client,
    release: &Release,
    objects: &[Rendered],
    which: &Which,
) -> Result<Rollout, UpgradeError> {
    let mesh = &release.namespace;
    let refused = |kind: &str, error| ApplyError::of(ObjectName::all(kind), &error);
    let revisions = Revisions::installed(client, mesh).await;
    let namespaces = namespaces::all(client, mesh).await;
    let search = search::Search {
        client,
        wanted: wanted::Wanted::of(objects),
        revisions: revisions.map_err(|error| refused(kinds::MUTATING, error))?.and(objects),
        namespaces: namespaces.map_err(|error| refused(kinds::NAMESPACE, error))?,
        which,
    };
    Ok(search.run().await?)
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
