//! From settings and manifests to a running mesh.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::{Mesh, Pods, World};
use crate::claim::claim;
use crate::control;
use crate::error::{Context, Error, Result};
use crate::event::{Event, Events};
use crate::host;
use crate::manifest::Manifests;
use crate::pilot::{self, Pilot};
use crate::plan::{self, Commands, PodOptions};
use crate::publish::Publish;
use crate::state::StateDir;
use crate::stop::Stop;

/// How often log files are looked at.
const LOG_PERIOD: std::time::Duration = std::time::Duration::from_secs(10);

/// How a local mesh is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where its state is.
    pub state: StateDir,
    /// How pods are made from manifests.
    pub pods: PodOptions,
    /// Ports of this machine that lead to services.
    pub publish: Vec<Publish>,
    /// How long certificates are valid, as the control plane takes it: 24h.
    pub workload_cert_ttl: Option<String>,
}

impl Mesh {
    /// Brings a mesh up: checks everything first, then makes the network and starts the
    /// control plane and the pods, all at once. The pods are not yet ready when it returns
    /// ([`Mesh::wait_ready`]). Must run in tokio's multi-threaded runtime, and ends with
    /// [`Mesh::stop`]; what a killed process leaves is cleared by the next start.
    ///
    /// # Errors
    /// Anything that keeps it from starting; then nothing is left behind.
    pub async fn start(
        settings: Settings,
        manifests: Manifests,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<Self>> {
        host::check()?;
        let Settings { state, pods: options, publish, workload_cert_ttl } = settings;
        check_bin_dir(&options.bin_dir)?;
        let commands = Commands {
            bin_dir: options.bin_dir.clone(),
            pod_bin_dir: state.bin(),
            pods_dir: state.pods(),
        };
        let plans = plan::pods(&manifests, &options, &commands)?;
        publish.iter().try_for_each(|publish| publish.check(&manifests))?;
        let events = Events(events);
        let (lock, cleared) = claim(&state).await?;
        if cleared {
            events.note("cleared what an earlier mesh had left behind");
        }
        let listeners = bind(&publish).await?;
        state.create()?;
        let world = World::new(state, options.bin_dir.clone(), events);
        let world = Arc::new(world);
        let mesh = Arc::new(Self {
            pods: Arc::new(Pods::new(Arc::clone(&world))),
            world,
            options,
            commands,
            publish,
            workload_cert_ttl,
            manifests: Mutex::new(manifests),
            pilot: Mutex::default(),
            servers: Mutex::new(JoinSet::new()),
            down: Stop::new(),
            lock: Mutex::new(Some(lock)),
        });
        match mesh.bring_up(plans.into_values().collect(), listeners).await {
            Ok(()) => Ok(mesh),
            Err(error) => {
                // The first error is the one to tell.
                let _ = mesh.stop().await;
                Err(error)
            }
        }
    }

    async fn bring_up(
        self: &Arc<Self>,
        plans: Vec<plan::PodPlan>,
        listeners: Vec<TcpListener>,
    ) -> Result<()> {
        let world = &self.world;
        world.set_services(&*self.manifests.lock().await)?;
        host::create_bridge(world.state.root()).await?;
        pilot::check_ports().await?;
        self.pods.start(plans)?;
        let program = world.bin_dir.join("mesh-pilot");
        let ttl = self.workload_cert_ttl.as_deref();
        *self.pilot.lock().await = Some(Pilot::start(Arc::clone(world), program, ttl).await?);
        let mut servers = self.servers.lock().await;
        servers.spawn(control::serve(control::listen(&world.state)?, Arc::downgrade(self)));
        for (publish, listener) in self.publish.iter().zip(listeners) {
            servers.spawn(publish.clone().serve(listener, Arc::clone(&self.pods)));
        }
        servers.spawn(cut_logs(world.state.logs()));
        Ok(())
    }
}

async fn cut_logs(folder: PathBuf) {
    loop {
        tokio::time::sleep(LOG_PERIOD).await;
        crate::logs::cut(&folder);
    }
}

async fn bind(publish: &[Publish]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for publish in publish {
        listeners.push(publish.bind().await?);
    }
    Ok(listeners)
}

/// The pods' users must be able to run what is in the folder. Where it lies does not
/// matter: pods see it at another place.
fn check_bin_dir(folder: &Path) -> Result<()> {
    let metadata =
        std::fs::metadata(folder).context(|| format!("--bin-dir {}", folder.display()))?;
    if !metadata.is_dir() || metadata.permissions().mode() & 0o005 != 0o005 {
        let folder = folder.display();
        return Err(Error::failed(format!(
            "--bin-dir {folder}: must be a folder that every user may read; chmod o+rx {folder}"
        )));
    }
    match folder.join("mesh-pilot").is_file() {
        true => Ok(()),
        false => Err(Error::failed(format!(
            "--bin-dir {}: there is no mesh-pilot in it; build it, or name the folder where it is",
            folder.display()
        ))),
    }
}
