//! The mesh as the objects of a Kubernetes API server.
//!
//! Each kind is watched by a task of its own, which keeps of an object what the mesh needs
//! and drops the rest. One task takes in all changes and publishes. An object that cannot be
//! read, or a rule that does not check, leaves its last good version in force.

mod attached;
mod event;
mod kinds;
mod known;
mod parents;
mod publish;
mod report;
mod rule;
mod sources;
mod state;
mod status;
mod written;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mesh_model::{Locality, Snapshot, Workload};
use mesh_rules::{Problem, Rule, RuleKey, parse};
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;

use self::attached::Parent;
use self::known::Read;
use self::rule::ReadRule;
use self::state::State;
use self::written::Stored;
use super::kubernetes::{Declared, DeclaredSlice};
use super::rules::Rules;
use super::{
    Applied, MeshConfig, PlatformAdapter, RuleState, StoreError, StoredRule, contents, settled,
};
use crate::cluster::{Delta, Unwatched};
use crate::leader::Leadership;

/// Changes that wait to be taken in; who watches waits when there are more.
const WAITING: usize = 1024;

/// Something happened in the cluster.
enum Change {
    Services(Delta<Read<Declared>>),
    Slices(Delta<Read<DeclaredSlice>>),
    Pods(Delta<Read<Arc<Workload>>>),
    Nodes(Delta<Read<Arc<Locality>>>),
    /// Of one kind.
    Rules(&'static str, Delta<Box<ReadRule>>),
    Watch(Unwatched),
}

impl From<Unwatched> for Change {
    fn from(unwatched: Unwatched) -> Self {
        Self::Watch(unwatched)
    }
}

/// The adapter for a Kubernetes API server. Dropping it ends the watches.
pub struct KubernetesAdapter {
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

/// Of the pilots of a revision the one that leads writes into the rules what has become of
/// them.
pub struct Reporting {
    /// Whether it is this one.
    pub leadership: Leadership,
    /// By what name it writes.
    pub me: String,
    /// Of rules of Istio's kinds Istio says it.
    pub beside_istio: bool,
}

/// What the publishing task and the callers share.
struct Inner {
    mesh: MeshConfig,
    view: ArcSwap<View>,
    snapshots: channel::Sender<Arc<Snapshot>>,
    /// Told after each change of the view, when the snapshot is published.
    viewed: channel::Sender<()>,
}

/// What can be read at any time; the latest snapshot reflects it.
#[derive(Default)]
struct View {
    /// Objects that cannot be read, and rules that do not check.
    refused: Vec<Problem>,
    /// Watches that do not work.
    unwatched: Vec<Problem>,
    rules: Arc<RulesView>,
}

/// The part of it that changes seldom.
#[derive(Default)]
struct RulesView {
    in_force: Rules,
    /// Of all rules that the API server keeps, in force or not.
    verdicts: BTreeMap<RuleKey, Verdict>,
}

/// What has become of a rule.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    stored: Stored,
    /// None: it is in force as it is written.
    problems: Vec<Problem>,
    /// Of an `HTTPRoute`: those of its parents that are ours.
    parents: Vec<Parent>,
}

impl KubernetesAdapter {
    /// Begins to watch. The first snapshot is published when all kinds have been seen.
    /// Must be called within a tokio runtime.
    pub fn start(client: &kube::Client, mesh: MeshConfig, reporting: Reporting) -> Self {
        let (sender, changes) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        sources::start(&mut tasks, client, &mesh, &sender);
        let inner = Arc::new(Inner::new(&mesh));
        tasks.spawn(publish::run(Arc::clone(&inner), State::new(mesh), changes));
        tasks.spawn(report::run(Arc::clone(&inner), client.clone(), reporting));
        Self { inner, _tasks: tasks }
    }
}

impl PlatformAdapter for KubernetesAdapter {
    fn snapshots(&self) -> channel::Receiver<Arc<Snapshot>> {
        self.inner.snapshots.subscribe()
    }

    fn mesh(&self) -> &MeshConfig {
        &self.inner.mesh
    }

    fn problems(&self) -> Vec<Problem> {
        let view = self.inner.view.load();
        view.unwatched.iter().chain(&view.refused).cloned().collect()
    }

    fn rules(&self) -> Vec<StoredRule> {
        self.inner.view.load().rules.in_force.stored()
    }

    async fn reflects(&self, key: &RuleKey, state: RuleState) -> u64 {
        self.inner.reflects(key, &state).await
    }

    async fn apply(
        &self,
        yaml: &str,
        default_namespace: &str,
        dry_run: bool,
    ) -> Result<Applied, StoreError> {
        match dry_run {
            true => self.inner.check(yaml, default_namespace).await,
            false => Err(StoreError::Elsewhere),
        }
    }

    async fn delete(&self, key: &RuleKey, dry_run: bool) -> Result<u64, StoreError> {
        match dry_run {
            true => self.inner.check_deletion(key).await,
            false => Err(StoreError::Elsewhere),
        }
    }
}

impl Inner {
    fn new(mesh: &MeshConfig) -> Self {
        Self {
            mesh: mesh.clone(),
            view: ArcSwap::default(),
            snapshots: channel::Sender::new(Arc::new(Snapshot::new(0, contents::empty(mesh)))),
            viewed: channel::Sender::default(),
        }
    }

    /// Whether rules would come into force now, or a moment later.
    async fn check(&self, yaml: &str, default_namespace: &str) -> Result<Applied, StoreError> {
        let rules = parse("", yaml, self.mesh.surroundings(default_namespace));
        let rules = rules.map_err(StoreError::Refused)?;
        let version = self.would_take(&rules, None).await?;
        let keys = rules.into_iter().map(|rule| rule.key).collect();
        Ok(Applied { keys, version })
    }

    /// Whether all others would stay in force without a rule. One that is refused is in nobody's
    /// way, and one that is not known is not there to be deleted.
    async fn check_deletion(&self, key: &RuleKey) -> Result<u64, StoreError> {
        self.would_take(&[], Some(key)).await
    }

    /// Refuses what the mesh would, now and a moment later.
    async fn would_take(
        &self,
        applied: &[Rule],
        deleted: Option<&RuleKey>,
    ) -> Result<u64, StoreError> {
        let snapshot = || Arc::clone(&self.snapshots.borrow());
        let refused = || {
            let in_force = &self.view.load().rules.in_force;
            in_force.would_refuse(applied, deleted, snapshot().services())
        };
        let problems = settled(self.viewed.subscribe(), Vec::is_empty, refused).await;
        match problems.is_empty() {
            true => Ok(snapshot().version()),
            false => Err(StoreError::Refused(problems)),
        }
    }

    async fn reflects(&self, key: &RuleKey, state: &RuleState) -> u64 {
        let mut viewed = self.viewed.subscribe();
        loop {
            viewed.mark_unchanged();
            if self.snapshots.borrow().version() > 0 && self.view.load().shows(key, state) {
                return self.snapshots.borrow().version();
            }
            // The sender is our own.
            let _ = viewed.changed().await;
        }
    }
}

impl View {
    fn shows(&self, key: &RuleKey, state: &RuleState) -> bool {
        let verdict = self.rules.verdicts.get(key);
        match (verdict.map(|verdict| &verdict.stored), state) {
            (Some(stored), RuleState::Stored { uid, generation }) => {
                stored.uid == *uid && stored.generation >= *generation
            }
            (None, RuleState::Gone) => true,
            (Some(_), RuleState::Gone) | (None, RuleState::Stored { .. }) => false,
        }
    }
}
