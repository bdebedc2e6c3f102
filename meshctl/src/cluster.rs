//! The way to a Kubernetes cluster, for every command that needs one.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kube::Client;
use mesh_install::Connection;

/// Flags that say which cluster, and where the mesh is in it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Kubeconfig [default: KUBECONFIG, then ~/.kube/config, then a pod's own account]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,

    /// Namespace of the mesh itself
    #[arg(long, global = true, value_name = "NAME", default_value = mesh_install::chart::NAMESPACE)]
    pub(crate) mesh_namespace: String,
}

impl ClusterArgs {
    /// A client of a cluster that answers; an error says what to do, and ends with the exit
    /// code for it.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let connection =
            Connection { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        let (client, _) = connection.connect().await?;
        Ok(client)
    }

    /// Whether the command line names a cluster.
    pub(crate) fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// Whether there is something to find a cluster by that nobody had to name.
pub(crate) fn has_default() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty())
        || std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists())
}

/// What the API server said, as an error of ours.
pub(crate) fn explain(error: kube::Error) -> anyhow::Error {
    anyhow::Error::msg(mesh_install::explain(&error))
}
