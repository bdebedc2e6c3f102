//! A pod's life: sandbox, init containers and sidecars in order, applications; and back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::container::Container;
use super::object::with_status;
use super::status::{PodPhase, PodStatus};
use super::tokens::Tokens;
use crate::error::{Context, Result};
use crate::event::Event;
use crate::host::{Sandbox, SandboxPlan};
use crate::mesh::World;
use crate::plan::{
    ContainerPlan, Downward, GATEWAY, PILOT_PORT, PodPlan, Role, VolumeKind, resolve,
};
use crate::state::{remove_file, write_object};
use crate::stop::{Stop, Stopped};

/// A pod with everything that its parts need to know.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) plan: PodPlan,
    pub(crate) address: Ipv4Addr,
    pub(crate) world: Arc<World>,
    status: watch::Sender<PodStatus>,
}

/// The handle of a pod that runs in a task of its own.
#[derive(Debug)]
pub(crate) struct RunningPod {
    pub(crate) pod: Arc<Pod>,
    stop: Stop,
    task: JoinHandle<()>,
}

impl RunningPod {
    /// Starts a pod; returns at once.
    pub(crate) fn start(plan: PodPlan, address: Ipv4Addr, world: Arc<World>) -> Self {
        let (status, _) = watch::channel(PodStatus::new(&plan, address));
        let pod = Arc::new(Pod { plan, address, world, status });
        let stop = Stop::new();
        let task = tokio::spawn(run(Arc::clone(&pod), stop.subscribe()));
        Self { pod, stop, task }
    }

    pub(crate) fn status(&self) -> PodStatus {
        self.pod.status.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<PodStatus> {
        self.pod.status.subscribe()
    }

    /// Stops it in order and waits until nothing of it is left.
    pub(crate) async fn stop(self) {
        self.stop.stop();
        if let Err(error) = self.task.await {
            let name = &self.pod.plan.key.name;
            self.pod.world.events.warning(format!("pod {name}: {error}"));
        }
    }
}

async fn run(pod: Arc<Pod>, mut stop: Stopped) {
    let made = match pod.create_sandbox().await {
        Ok(sandbox) => Tokens::issue(&pod).map(|tokens| (sandbox, tokens)),
        Err(error) => Err(error),
    };
    let (sandbox, mut tokens) = match made {
        Ok(made) => made,
        Err(error) => {
            pod.update(|status| {
                status.phase = PodPhase::Failed;
                status.message = Some(error.to_string());
            });
            stop.stopped().await;
            return;
        }
    };
    let pid = sandbox.pid;
    pod.update(|status| status.sandbox_pid = Some(pid));
    let mut sidecars = Group::new();
    let mut applications = Group::new();
    tokio::select! {
        () = stop.stopped() => {}
        () = pod.publish() => {}
        () = tokens.keep(&pod) => {}
        () = pod.bring_up(pid, &mut sidecars, &mut applications) => {}
    }
    pod.update(|status| {
        status.phase = PodPhase::Stopping;
        status.ready = false;
    });
    pod.warn(remove_file(&pod.world.state.pod_file(&pod.plan.key)));
    // The sidecar outlives the application, which may have last words to say over it.
    applications.stop().await;
    sidecars.stop().await;
    drop(tokens);
    pod.warn(sandbox.remove().await);
    pod.warn(std::fs::remove_dir_all(pod.folder()).context(|| pod.folder().display().to_string()));
}

/// Containers that are stopped together.
struct Group {
    stop: Stop,
    tasks: JoinSet<()>,
}

impl Group {
    fn new() -> Self {
        Self { stop: Stop::new(), tasks: JoinSet::new() }
    }

    fn start(&mut self, pod: &Arc<Pod>, plan: &ContainerPlan, sandbox: u32) {
        let (pod, plan, stop) = (Arc::clone(pod), plan.clone(), self.stop.subscribe());
        self.tasks.spawn(async move {
            Container { pod: &pod, plan: &plan, sandbox }.keep_running(stop).await;
        });
    }

    async fn stop(mut self) {
        self.stop.stop();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Pod {
    /// Starts everything in its order; never ends.
    async fn bring_up(
        self: &Arc<Self>,
        sandbox: u32,
        sidecars: &mut Group,
        applications: &mut Group,
    ) {
        for plan in &self.plan.init {
            let container = Container { pod: self, plan, sandbox };
            if plan.role == Role::Sidecar {
                // Without the pilot a sidecar could only wait.
                let _ = self.world.pilot_ready.subscribe().wait_for(|ready| *ready).await;
                sidecars.start(self, plan, sandbox);
                container.started().await;
            } else {
                container.run_to_end().await;
            }
        }
        for plan in &self.plan.containers {
            applications.start(self, plan, sandbox);
        }
        self.update(|status| status.phase = PodPhase::Running);
        std::future::pending().await
    }

    /// Keeps the file that the pilot reads true; never ends.
    async fn publish(&self) {
        let mut status = self.status.subscribe();
        let (mut written, mut done) = (None, false);
        loop {
            let (ready, is_done) = {
                let status = status.borrow_and_update();
                (status.containers_ready(), status.is_done())
            };
            if is_done && !done {
                self.world.events.send(Event::PodDone(self.plan.key.clone()));
                done = true;
            }
            if written != Some(ready) {
                let object = with_status(&self.plan.object, self.address, ready);
                self.warn(write_object(&self.world.state.pod_file(&self.plan.key), &object));
                match ready {
                    true => self.world.events.send(Event::PodReady(self.plan.key.clone())),
                    false if written.is_some() && !done => {
                        let name = &self.plan.key.name;
                        self.world.events.warning(format!("pod {name} is not ready any more"));
                    }
                    false => {}
                }
                self.update(|status| status.ready = ready);
                written = Some(ready);
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    async fn create_sandbox(&self) -> Result<Sandbox> {
        let folder = self.folder();
        let create = |path: PathBuf, mode: u32| {
            std::fs::create_dir_all(&path)
                .and_then(|()| {
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
                })
                .context(|| path.display().to_string())
                .map(|()| path)
        };
        create(folder.clone(), 0o755)?;
        let mut folders = vec![(self.world.bin_dir.clone(), self.world.state.bin())];
        // Containers write to volumes as any user, but only where they are mounted: on the
        // host nobody passes.
        let volumes = create(folder.join("volumes"), 0o700)?;
        for volume in &self.plan.volumes {
            let path = volumes.join(&volume.name);
            let source = match volume.kind {
                VolumeKind::Empty => create(path, 0o777)?,
                VolumeKind::Token { .. } => create(path, 0o755)?,
                VolumeKind::Roots => self.world.state.roots(),
            };
            folders.push((source, volume.path.clone()));
        }
        self.write_hosts()?;
        // Names that are not in the hosts file are refused at once, by nobody listening on
        // the default server 127.0.0.1, where the host's server could not be reached.
        let resolv_conf = folder.join("resolv.conf");
        std::fs::write(&resolv_conf, "").context(|| resolv_conf.display().to_string())?;
        let mut files = vec![
            (folder.join("hosts"), PathBuf::from("/etc/hosts")),
            (resolv_conf, PathBuf::from("/etc/resolv.conf")),
        ];
        if let Some(host) = &self.plan.proxy_binary {
            // Bound, not copied: a proxy has a hundred megabytes.
            let inside =
                create(folder.join("proxy"), 0o755)?.join(host.file_name().unwrap_or_default());
            std::fs::write(&inside, "").context(|| inside.display().to_string())?;
            files.push((host.clone(), inside));
        }
        Sandbox::create(&SandboxPlan {
            namespace: &self.plan.key.namespace,
            pod: &self.plan.key.name,
            address: self.address,
            reaches_services: self.plan.injected,
            must_reach: self.plan.injected.then_some((GATEWAY, PILOT_PORT).into()),
            folder: &folder,
            files,
            folders,
        })
        .await
    }

    /// Writes `/etc/hosts`, in place: the pod sees this very file.
    pub(crate) fn write_hosts(&self) -> Result<()> {
        let path = self.folder().join("hosts");
        let text = self.world.hosts_for(&self.plan.key, self.address);
        std::fs::write(&path, text).context(|| path.display().to_string())
    }

    /// A container's whole environment but for PATH.
    pub(super) fn env(&self, container: &ContainerPlan) -> Vec<(String, String)> {
        let key = &self.plan.key;
        let annotations = self.plan.object["metadata"]["annotations"].as_object();
        let annotations: BTreeMap<String, String> = annotations
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let downward = Downward {
            name: &key.name,
            namespace: &key.namespace,
            service_account: self.service_account(),
            ip: self.address,
            host_ip: GATEWAY,
            node: "local",
            uid: &format!("{key}-{:x}", self.plan.revision),
            labels: &self.plan.labels,
            annotations: &annotations,
        };
        let mut env =
            vec![("HOSTNAME".to_owned(), key.name.clone()), ("HOME".to_owned(), "/".to_owned())];
        env.extend(resolve(&container.env, &downward));
        env
    }

    pub(super) fn service_account(&self) -> &str {
        self.plan.spec.service_account_name.as_deref().unwrap_or("default")
    }

    /// Changes the status; watchers wake only when something changed.
    pub(super) fn update(&self, change: impl FnOnce(&mut PodStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.world.state.pods().join(format!("{}.{}", self.plan.key.namespace, self.plan.key.name))
    }

    pub(super) fn warn(&self, result: Result<()>) {
        if let Err(error) = result {
            self.world.events.warning(format!("pod {}: {error}", self.plan.key.name));
        }
    }
}
