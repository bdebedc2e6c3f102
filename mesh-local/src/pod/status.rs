//! What is known of a running pod; `meshctl local ps` shows it.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::manifest::Key;
use crate::plan::{ContainerPlan, PodPlan, Role};

/// A pod and its containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The deployment that it is of.
    pub deployment: Option<String>,
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Whether services send it requests: every container is ready, and the control plane
    /// was told so.
    pub ready: bool,
    /// Why it failed.
    pub message: Option<String>,
    /// When it was started, milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The process that holds its namespaces.
    pub sandbox_pid: Option<u32>,
    /// Init containers and sidecars, then the applications.
    pub containers: Vec<ContainerStatus>,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodPhase {
    /// Its network is being made, or its init containers and sidecars start.
    Starting,
    /// Its applications were started.
    Running,
    /// It is on its way out.
    Stopping,
    /// It could not be made; `message` says why.
    Failed,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Whether it is an init container that runs to its end.
    pub init: bool,
    /// Whether it is an application, neither an init container nor a sidecar.
    pub application: bool,
    /// What it does now.
    pub state: ContainerState,
    /// Whether its readiness probe passes.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended the last time: `exit code 1`, `signal 9`.
    pub last_end: Option<String>,
}

/// What a container does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Not started yet.
    Waiting,
    /// Runs, as this process.
    Running {
        /// The process id on the host.
        pid: u32,
    },
    /// Ended, and will be started again after a while.
    BackOff,
    /// Ended for good.
    Ended,
}

impl PodStatus {
    pub(crate) fn new(plan: &PodPlan, address: Ipv4Addr) -> Self {
        let containers = plan.init.iter().chain(&plan.containers);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            namespace: plan.key.namespace.clone(),
            name: plan.key.name.clone(),
            deployment: plan.deployment.clone(),
            address,
            phase: PodPhase::Starting,
            ready: false,
            message: None,
            started_unix_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
            sandbox_pid: None,
            containers: containers.map(ContainerStatus::new).collect(),
        }
    }

    /// Its namespace and name.
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Whether it could take requests.
    pub(crate) fn containers_ready(&self) -> bool {
        let mut serving = self.containers.iter().filter(|container| !container.init);
        self.phase == PodPhase::Running && serving.all(|container| container.ready)
    }

    /// Whether its applications have done their work and are not started again.
    pub fn is_done(&self) -> bool {
        let mut last = self.containers.iter().filter(|container| container.application);
        self.phase == PodPhase::Running && last.all(|c| c.state == ContainerState::Ended)
    }

    /// How often its containers were started again.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|container| container.restarts).sum()
    }

    /// One word for a table, as `kubectl get pods` has it.
    pub fn summary(&self) -> String {
        let backing_off = self.containers.iter().any(|c| c.state == ContainerState::BackOff);
        match self.phase {
            PodPhase::Failed => "Failed".to_owned(),
            PodPhase::Stopping => "Terminating".to_owned(),
            _ if backing_off => "CrashLoopBackOff".to_owned(),
            PodPhase::Starting => "Starting".to_owned(),
            PodPhase::Running if self.is_done() => "Completed".to_owned(),
            PodPhase::Running if self.ready => "Running".to_owned(),
            PodPhase::Running => "NotReady".to_owned(),
        }
    }

    pub(crate) fn container(&mut self, name: &str) -> Option<&mut ContainerStatus> {
        self.containers.iter_mut().find(|container| container.name == name)
    }
}

impl ContainerStatus {
    fn new(plan: &ContainerPlan) -> Self {
        Self {
            name: plan.name.clone(),
            init: plan.role == Role::Init,
            application: plan.role == Role::Application,
            state: ContainerState::Waiting,
            ready: false,
            restarts: 0,
            last_end: None,
        }
    }
}
