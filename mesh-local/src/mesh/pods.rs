//! The running pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::World;
use crate::error::{Error, Result};
use crate::manifest::Key;
use crate::plan::PodPlan;
use crate::pod::{ContainerState, ContainerStatus, Pod, PodPhase, PodStatus, RunningPod};

/// The running pods, by name.
#[derive(Debug)]
pub(crate) struct Pods {
    pub(crate) world: Arc<World>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    pods: BTreeMap<Key, RunningPod>,
    /// The mesh is stopping: nothing is started any more.
    closed: bool,
}

/// What must happen to come from what runs to what is wanted.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) start: Vec<PodPlan>,
    pub(crate) stop: Vec<Key>,
}

impl Pods {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Every change is one insertion or removal, so a panic elsewhere leaves it whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pods that are new or changed, and pods that are gone or changed.
    pub(crate) fn difference(&self, wanted: BTreeMap<Key, PodPlan>) -> Difference {
        let running = self.running();
        let same = |key: &Key, revision: u64| {
            running.pods.get(key).is_some_and(|running| running.pod.plan.revision == revision)
        };
        let is_stopped = |(key, running): &(&Key, &RunningPod)| {
            wanted.get(*key).is_none_or(|plan| plan.revision != running.pod.plan.revision)
        };
        let stop = running.pods.iter().filter(is_stopped).map(|(key, _)| key.clone()).collect();
        let start = wanted.into_values().filter(|plan| !same(&plan.key, plan.revision)).collect();
        Difference { start, stop }
    }

    /// Starts pods, all at once, and does not wait for them. Refused once the mesh stops.
    pub(crate) fn start(&self, plans: Vec<PodPlan>) -> Result<()> {
        for plan in plans {
            let address = self.world.pod_address(&plan.key)?;
            let key = plan.key.clone();
            let mut running = self.running();
            if running.closed {
                return Err(Error::failed("the mesh is stopping"));
            }
            let pod = RunningPod::start(plan, address, Arc::clone(&self.world));
            running.pods.insert(key, pod);
        }
        Ok(())
    }

    /// Stops pods, all at once, and waits until nothing of them is left.
    pub(crate) async fn stop(&self, keys: &[Key]) {
        let stopped: Vec<_> =
            keys.iter().filter_map(|key| self.running().pods.remove(key)).collect();
        stop_together(stopped).await;
        keys.iter().for_each(|key| self.world.release_pod(key));
    }

    /// Stops every pod for good.
    pub(crate) async fn stop_all(&self) {
        let stopped = {
            let mut running = self.running();
            running.closed = true;
            std::mem::take(&mut running.pods)
        };
        stop_together(stopped.into_values()).await;
    }

    pub(crate) fn statuses(&self) -> Vec<PodStatus> {
        self.running().pods.values().map(RunningPod::status).collect()
    }

    /// The ready pods among those that are asked for.
    pub(crate) fn ready(&self, asked: impl Fn(&PodPlan) -> bool) -> Vec<Arc<Pod>> {
        let running = self.running();
        let ready = running
            .pods
            .values()
            .filter(|running| asked(&running.pod.plan) && running.status().ready);
        ready.map(|running| Arc::clone(&running.pod)).collect()
    }

    /// Brings every pod's hosts file up to date.
    pub(crate) fn write_hosts(&self) -> Result<()> {
        self.running().pods.values().try_for_each(|running| running.pod.write_hosts())
    }

    /// Waits until the pods that are asked for are ready, or one has failed for good.
    pub(crate) async fn wait_ready(
        &self,
        asked: impl Fn(&Key) -> bool,
        deadline: Duration,
    ) -> Result<()> {
        let watches: Vec<_> = {
            let running = self.running();
            let asked = running.pods.iter().filter(|(key, _)| asked(key));
            asked.map(|(_, running)| running.watch()).collect()
        };
        let all = async {
            for mut watch in watches.clone() {
                let settled = |status: &PodStatus| {
                    status.ready || status.is_done() || status.phase == PodPhase::Failed
                };
                match watch.wait_for(settled).await {
                    Ok(status) if status.phase != PodPhase::Failed => {}
                    Ok(status) => return Err(failed(&status)),
                    Err(_) => return Err(Error::failed("a pod was stopped before it was ready")),
                }
            }
            Ok(())
        };
        tokio::time::timeout(deadline, all).await.unwrap_or_else(|_| {
            let late = watches.iter().map(|watch| watch.borrow().clone());
            let late = late.filter(|status| !status.ready && !status.is_done());
            let late: Vec<_> = late.map(|status| self.why(&status)).collect();
            let seconds = deadline.as_secs();
            Err(Error::failed(format!("not ready after {seconds} s: {}", late.join("\n  "))))
        })
    }
}

impl Pods {
    /// The first container that keeps a pod from being ready, with its last words.
    fn why(&self, status: &PodStatus) -> String {
        let started = |container: &&ContainerStatus| container.state != ContainerState::Waiting;
        let late = status.containers.iter().filter(|container| !container.ready);
        let Some(container) = late.filter(started).rfind(|c| c.state != ContainerState::Ended)
        else {
            return format!("pod {}", status.name);
        };
        let ended = container.last_end.as_ref().map(|end| format!(", which ended ({end})"));
        let log = self.world.state.container_log(&status.key(), &container.name);
        let last = crate::logs::last_line(&log).map(|line| format!(": {line}"));
        let (ended, last) = (ended.unwrap_or_default(), last.unwrap_or_default());
        format!("pod {} waits for container {}{ended}{last}", status.name, container.name)
    }
}

async fn stop_together(pods: impl IntoIterator<Item = RunningPod>) {
    let mut tasks: JoinSet<()> = pods.into_iter().map(RunningPod::stop).collect();
    while tasks.join_next().await.is_some() {}
}

fn failed(status: &PodStatus) -> Error {
    let message = status.message.as_deref().unwrap_or("failed");
    Error::failed(format!("pod {}: {message}", status.name))
}
