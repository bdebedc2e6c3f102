//! What injection asks of the cluster: whether the namespace has chosen this control plane, and
//! whether the API server and all nodes have native sidecars.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Node};
use kube::api::Api;
use mesh_inject::{Config, KubernetesVersion, Namespace, left_out};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::inject;
use super::review::{Decision, Request};
use crate::cluster::{Delta, ObjectName, Source, Unwatched, explain, follow, persist};

/// The API server waits for the webhook, and has its own patience.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster, and what is known of it.
pub struct Cluster {
    namespaces: Api<NamespaceObject>,
    mesh_namespace: String,
    versions: watch::Receiver<Option<Vec<KubernetesVersion>>>,
}

impl Cluster {
    /// Begins to watch the nodes. `mesh_namespace` is the control plane's own. Must be called
    /// within a tokio runtime.
    pub fn start(client: kube::Client, mesh_namespace: &str) -> Self {
        let (sender, versions) = watch::channel(None);
        tokio::spawn(follow_versions(client.clone(), sender));
        let mesh_namespace = mesh_namespace.to_owned();
        Self { namespaces: Api::all(client), mesh_namespace, versions }
    }

    /// The versions of the API server and the nodes; none before they are known.
    pub(crate) fn versions(&self) -> watch::Receiver<Option<Vec<KubernetesVersion>>> {
        self.versions.clone()
    }

    /// [`inject::decide`] for a pod of a namespace that has chosen this control plane.
    pub(super) async fn decide(&self, request: &Request, settings: &Config) -> Decision {
        // Now, not as it was a moment ago: pods often come right after their namespace.
        let labels = self.labels(&request.namespace).await;
        let namespace = Namespace { name: &request.namespace, labels: labels.as_ref() };
        let metadata = request.object.get("metadata").unwrap_or(&Value::Null);
        match left_out(namespace, metadata, &settings.revision, &self.mesh_namespace) {
            Err(error) => return Decision::refused(error.to_string()),
            Ok(Some(reason)) => {
                debug!(namespace = request.namespace, "no sidecar: {reason}");
                return Decision::allowed();
            }
            Ok(None) => {}
        }
        let versions = self.versions.borrow().clone().unwrap_or_default();
        let native_sidecar = settings.native_sidecar.on(versions);
        inject::decide(request, &Config { native_sidecar, ..settings.clone() })
    }

    /// None when they cannot be had: the API server has looked at them before it asked.
    async fn labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let asked = self.namespaces.get_metadata_opt(namespace);
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(found)) => Some(found?.metadata.labels.unwrap_or_default()),
            Ok(Err(error)) => {
                warn!(namespace, error = explain(&error), "a namespace's labels are not known");
                None
            }
            Err(_) => {
                warn!(namespace, "the API server does not say a namespace's labels in time");
                None
            }
        }
    }
}

enum Change {
    Nodes(Delta<Option<KubernetesVersion>>),
    /// Says itself that it is so.
    Unwatched,
}

impl From<Unwatched> for Change {
    fn from(_: Unwatched) -> Self {
        Self::Unwatched
    }
}

/// Ends when nobody wants to know any more.
async fn follow_versions(
    client: kube::Client,
    versions: watch::Sender<Option<Vec<KubernetesVersion>>>,
) {
    let (sender, mut changes) = mpsc::channel(16);
    let nodes: Source<Node> = Source::all("nodes", &client);
    let watching = tokio::spawn(follow(nodes, sender, version, Change::Nodes));
    let server = server_version(&client).await;
    let mut kubelets: BTreeMap<ObjectName, Option<KubernetesVersion>> = BTreeMap::new();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = versions.closed() => None,
        };
        match change {
            None => break,
            Some(Change::Unwatched) => continue,
            Some(Change::Nodes(Delta::All(all))) => kubelets = all,
            Some(Change::Nodes(Delta::Set(name, version))) => {
                kubelets.insert(name, version);
            }
            Some(Change::Nodes(Delta::Gone(name))) => {
                kubelets.remove(&name);
            }
        }
        let mut now: Vec<_> = kubelets.values().flatten().copied().chain([server]).collect();
        now.sort();
        now.dedup();
        let changed = |known: &mut Option<Vec<KubernetesVersion>>| {
            let is_new = known.as_ref() != Some(&now);
            *known = Some(now);
            is_new
        };
        if versions.send_if_modified(changed)
            && let Some(oldest) = versions.borrow().iter().flatten().next()
        {
            info!(%oldest, "the API server and the nodes are of this version or later");
        }
    }
    watching.abort();
}

/// One that is of a version which nobody can read counts for nothing.
fn version(node: Node) -> Option<KubernetesVersion> {
    node.status?.node_info?.kubelet_version.parse().ok()
}

async fn server_version(client: &kube::Client) -> KubernetesVersion {
    let ask = || async { client.apiserver_version().await.map_err(|error| explain(&error)) };
    let info = persist("the API server's version is not known", ask).await;
    info.git_version.parse().unwrap_or_else(|error| {
        warn!(error, "the API server has a version that says nothing");
        KubernetesVersion::NATIVE_SIDECARS
    })
}
