//! The running mesh: brought up, changed, taken down.

mod pods;
mod start;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use pods::Difference;
pub(crate) use pods::Pods;
pub use start::Settings;
pub(crate) use world::World;

use crate::control::Report;
use crate::error::{Error, Result};
use crate::host;
use crate::lock::Lock;
use crate::manifest::{Key, Manifests};
use crate::pilot::Pilot;
use crate::plan::{self, Commands, PodOptions};
use crate::publish::Publish;
use crate::stop::Stop;

/// How long new pods may take to be ready, at a start and at a change.
const READY: Duration = Duration::from_secs(60);

/// A running mesh.
#[derive(Debug)]
pub struct Mesh {
    world: Arc<World>,
    pods: Arc<Pods>,
    options: PodOptions,
    commands: Commands,
    publish: Vec<Publish>,
    /// What is running; the lock also makes one change wait for the other.
    manifests: Mutex<Manifests>,
    workload_cert_ttl: Option<String>,
    pilot: Mutex<Option<Pilot>>,
    /// The control socket and the published ports.
    servers: Mutex<JoinSet<()>>,
    down: Stop,
    lock: Mutex<Option<Lock>>,
}

/// What a change did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Applied {
    /// Pods that were started.
    pub started: Vec<String>,
    /// Pods that were stopped.
    pub stopped: Vec<String>,
}

impl Mesh {
    /// Waits until every pod is ready.
    ///
    /// # Errors
    /// When a pod cannot be made or is not ready after a minute; names it and says why.
    pub async fn wait_ready(&self) -> Result<()> {
        self.pods.wait_ready(|_| true, READY).await
    }

    /// Waits until somebody asks for the end over the control socket.
    pub async fn down_requested(&self) {
        self.down.subscribe().stopped().await;
    }

    /// What is running.
    pub fn report(&self) -> Report {
        let publish = &self.publish;
        Report {
            pid: std::process::id(),
            pods: self.pods.statuses(),
            published: publish.iter().map(|p| (p.address(), p.service.to_string())).collect(),
        }
    }

    pub(crate) fn request_down(&self) {
        self.down.stop();
    }

    /// Takes over new and changed Deployments, Pods and Services: new pods are started and
    /// ready before those that they replace are stopped. Rules are left to the caller.
    ///
    /// # Errors
    /// When the manifests cannot be run, or a new pod does not become ready; then the new
    /// pods are stopped again, and those that they had replaced are started again.
    pub async fn apply(&self, newer: Manifests) -> Result<Applied> {
        let mut current = self.manifests.lock().await;
        let mut wanted = current.clone();
        wanted.merge(newer);
        let plans = plan::pods(&wanted, &self.options, &self.commands)?;
        let change = self.pods.difference(plans);
        let names = |keys: &[Key]| keys.iter().map(ToString::to_string).collect();
        let new: Vec<_> = change.start.iter().map(|plan| plan.key.clone()).collect();
        let applied = Applied { started: names(&new), stopped: names(&change.stop) };
        let addresses = self.world.service_addresses();
        if let Err(error) = self.change(&wanted, change, &new).await {
            self.world.set_service_addresses(addresses);
            return Err(Error::failed(match self.restore(&current).await {
                Ok(()) => format!("{error}; what had been changed was taken back"),
                Err(also) => format!("{error}; to take back what had been changed failed: {also}"),
            }));
        }
        *current = wanted;
        Ok(applied)
    }

    async fn change(&self, wanted: &Manifests, change: Difference, new: &[Key]) -> Result<()> {
        self.world.set_services(wanted)?;
        self.pods.write_hosts()?;
        // A pod of its own keeps its name, so the old one has to go first.
        let (replaced, old): (Vec<_>, Vec<_>) =
            change.stop.into_iter().partition(|key| new.contains(key));
        self.pods.stop(&replaced).await;
        self.pods.start(change.start)?;
        self.pods.wait_ready(|key| new.contains(key), READY).await?;
        self.pods.stop(&old).await;
        Ok(())
    }

    /// Goes back from a change that failed half-way.
    async fn restore(&self, before: &Manifests) -> Result<()> {
        let services = self.world.set_services(before);
        let hosts = self.pods.write_hosts();
        let change = self.pods.difference(plan::pods(before, &self.options, &self.commands)?);
        self.pods.stop(&change.stop).await;
        self.pods.start(change.start)?;
        services.and(hosts)
    }

    /// Stops everything in order and removes all traces. A second call does nothing.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest is removed all the same.
    pub async fn stop(&self) -> Result<()> {
        let Some(lock) = self.lock.lock().await.take() else { return Ok(()) };
        self.servers.lock().await.shutdown().await;
        self.pods.stop_all().await;
        // A change that was under way cannot go on, and takes back what it did.
        drop(self.manifests.lock().await);
        if let Some(pilot) = self.pilot.lock().await.take() {
            pilot.stop().await;
        }
        let cleared = host::clear().await;
        let removed = self.world.state.remove();
        drop(lock);
        cleared?;
        removed
    }
}
