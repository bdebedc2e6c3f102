//! Where the mesh is described: one adapter per platform.

mod cluster;
mod contents;
mod files;
mod kubernetes;
mod rules;
mod settled;

use std::future::Future;
use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_rules::{Problem, RuleKey, Surroundings};
use tokio::sync::watch;

pub use cluster::{KubernetesAdapter, Reporting};
pub use files::{FilesAdapter, StartError};
pub(crate) use settled::settled;

/// What holds for the whole mesh and comes from the command line.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// The end of services' full names.
    pub cluster_domain: String,
    /// The beginning of identities.
    pub trust_domain: String,
    /// Whether sidecars encrypt where no rule says anything.
    pub auto_mtls: bool,
    /// The pilot's own namespace, whose rules are for the whole mesh.
    pub root_namespace: String,
}

impl Default for MeshConfig {
    fn default() -> Self {
        let domain = || "cluster.local".to_owned();
        let root_namespace = Surroundings::default().root_namespace.to_owned();
        Self { cluster_domain: domain(), trust_domain: domain(), auto_mtls: true, root_namespace }
    }
}

impl MeshConfig {
    /// What a rule of this mesh is read in; `namespace` is taken where it names none.
    pub fn surroundings<'a>(&'a self, namespace: &'a str) -> Surroundings<'a> {
        let Self { cluster_domain, root_namespace, .. } = self;
        Surroundings { namespace, cluster_domain, root_namespace }
    }
}

/// A place that describes the mesh: a folder of YAML files, a Kubernetes API server.
///
/// What cannot be read or does not check is listed in [`problems`](Self::problems), and its
/// last good version stays in force.
pub trait PlatformAdapter: Send + Sync + 'static {
    /// The mesh as it is now, and each change of it. Versions grow; a change that means
    /// nothing makes none.
    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>>;

    /// What holds for the whole mesh.
    fn mesh(&self) -> &MeshConfig;

    /// What was refused, by source.
    fn problems(&self) -> Vec<Problem>;

    /// The rules in force, by kind, namespace and name.
    fn rules(&self) -> Vec<StoredRule>;

    /// Waits until the published snapshot reflects the rule in that state, or in a later one,
    /// and gives the snapshot's version. A rule that does not check is reflected too: by its
    /// last good version. Who cannot wait for ever brings a deadline.
    fn reflects(&self, key: &RuleKey, state: RuleState) -> impl Future<Output = u64> + Send;

    /// Creates or replaces the rules of a text of one or more YAML documents, all or none.
    /// `default_namespace` is taken for those without one. With `dry_run` they are only
    /// checked: a platform that has a store of its own does nothing else. When it returns, the
    /// snapshot of [`Applied::version`] is published.
    ///
    /// A caller that stops waiting does not stop a write that has begun.
    fn apply(
        &self,
        yaml: &str,
        default_namespace: &str,
        dry_run: bool,
    ) -> impl Future<Output = Result<Applied, StoreError>> + Send;

    /// Removes a rule that no other one needs, and gives the version of the first snapshot without
    /// it. `dry_run` is as in [`apply`](Self::apply).
    fn delete(
        &self,
        key: &RuleKey,
        dry_run: bool,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A rule, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    /// Its kind, namespace and name.
    pub key: RuleKey,
    /// One YAML document.
    pub yaml: String,
}

/// What has become of a rule, by those who keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleState {
    /// It is kept, in this version or a later one.
    Stored {
        /// Which of all rules that ever had this name.
        uid: String,
        /// Grows by each change.
        generation: i64,
    },
    /// It is there no more.
    Gone,
}

/// What [`PlatformAdapter::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// In the order of the text.
    pub keys: Vec<RuleKey>,
    /// The first snapshot that contains them.
    pub version: u64,
}

/// Why rules were not stored. Nothing of them was.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The text cannot be read, or what it says does not check.
    #[error("{}", problem_lines(.0))]
    Refused(Vec<Problem>),
    /// There is no such rule.
    #[error("there is no {0}")]
    NotFound(RuleKey),
    /// The rule exists, in a file that the store does not keep itself.
    #[error("{key} is written in {file}, which is not mine to change: edit that file")]
    NotOurs {
        /// The rule.
        key: RuleKey,
        /// The file, relative to the watched folder.
        file: String,
    },
    /// The platform has a store of its own.
    #[error(
        "rules are resources of the cluster: apply and delete them with kubectl, or with meshctl \
         and a kubeconfig"
    )]
    Elsewhere,
    /// The disk said no.
    #[error("cannot write {path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
}

fn problem_lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
