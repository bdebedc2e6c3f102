//! The mesh as a folder of Kubernetes YAML: services, pods or endpoint slices, and rules.
//!
//! The folder is read as a whole after any change in it and compared with what was known, so
//! that no lost event can leave the mesh wrong. A file that is broken, or a rule that does
//! not check, leaves its last good version in force. Rules that come by the Rules API are
//! kept in `rules/`, one file each.

mod object;
mod reload;
mod scan;
mod state;
mod store;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use mesh_model::Snapshot;
use mesh_rules::{Problem, RuleKey};
use tokio::sync::watch as channel;

use super::{Applied, MeshConfig, PlatformAdapter, RuleState, StoreError, StoredRule};
use state::State;

/// Why the adapter cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be made or read.
    #[error("cannot use {} as the configuration folder: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It cannot be watched.
    #[error("cannot watch {}: {error}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: notify::Error,
    },
}

/// The adapter for a folder. Dropping the last clone ends the watching.
#[derive(Clone)]
pub struct FilesAdapter {
    inner: Arc<Inner>,
    _watcher: Arc<watch::Watcher>,
}

/// What the watcher and the callers share. The lock is only taken on blocking threads.
struct Inner {
    root: PathBuf,
    mesh: MeshConfig,
    state: Mutex<State>,
    view: ArcSwap<View>,
    snapshots: channel::Sender<Arc<Snapshot>>,
}

/// What can be read at any time.
#[derive(Default)]
struct View {
    problems: Vec<Problem>,
    rules: Vec<StoredRule>,
}

impl FilesAdapter {
    /// Reads the folder, which is made when it is missing, and watches it from then on.
    /// The first snapshot is there when this returns. Must be called within a tokio runtime.
    pub async fn start(root: &Path, mesh: MeshConfig) -> Result<Self, StartError> {
        let folder = |error| StartError::Folder { path: root.to_owned(), error };
        tokio::fs::create_dir_all(root.join(store::FOLDER)).await.map_err(folder)?;
        let state = State::new(mesh.clone());
        let empty = state.contents.clone();
        let inner = Arc::new(Inner {
            root: root.to_owned(),
            mesh,
            state: Mutex::new(state),
            view: ArcSwap::default(),
            snapshots: channel::Sender::new(Arc::new(Snapshot::new(0, empty))),
        });
        // Watching begins before the first reading: nothing is missed in between.
        let watcher = watch::start(&inner)
            .map_err(|error| StartError::Watch { path: root.to_owned(), error })?;
        inner.blocking(|inner| inner.reload(&mut inner.lock())).await.map_err(folder)?;
        Ok(Self { inner, _watcher: Arc::new(watcher) })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` where it may wait for the disk. It is carried out even when the caller
    /// stops waiting.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> std::io::Result<T> {
        let inner = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || work(&inner)).await;
        work.map_err(std::io::Error::other)
    }
}

impl PlatformAdapter for FilesAdapter {
    fn snapshots(&self) -> channel::Receiver<Arc<Snapshot>> {
        self.inner.snapshots.subscribe()
    }

    fn mesh(&self) -> &MeshConfig {
        &self.inner.mesh
    }

    fn problems(&self) -> Vec<Problem> {
        self.inner.view.load().problems.clone()
    }

    fn rules(&self) -> Vec<StoredRule> {
        self.inner.view.load().rules.clone()
    }

    /// [`apply`](Self::apply) and [`delete`](Self::delete) have waited already.
    async fn reflects(&self, _: &RuleKey, _: RuleState) -> u64 {
        self.inner.snapshots.borrow().version()
    }

    async fn apply(
        &self,
        yaml: &str,
        default_namespace: &str,
        dry_run: bool,
    ) -> Result<Applied, StoreError> {
        let (yaml, namespace) = (yaml.to_owned(), default_namespace.to_owned());
        let done = self.inner.blocking(move |inner| inner.apply(&yaml, &namespace, dry_run)).await;
        done.unwrap_or_else(|error| Err(store::io(&self.inner.root, error)))
    }

    async fn delete(&self, key: &RuleKey, dry_run: bool) -> Result<u64, StoreError> {
        let key = key.clone();
        let done = self.inner.blocking(move |inner| inner.delete(&key, dry_run)).await;
        done.unwrap_or_else(|error| Err(store::io(&self.inner.root, error)))
    }
}

#[cfg(test)]
mod tests;
