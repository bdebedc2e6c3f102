//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mesh_local::StateDir;

use crate::cluster::{self, ClusterArgs};
use crate::inject::InjectArgs;
use crate::install::{
    BugReportArgs, CheckArgs, InstallArgs, ManifestCommand, UninstallArgs, UpgradeArgs,
};
use crate::local::LocalCommand;
use crate::output::Format;
use crate::proxy::ProxyCommand;
use crate::route::RouteCommand;
use crate::rule::RuleCommand;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused or failed; standard error says why and what to do
  2  the command line was not understood
  3  no mesh is running, or no cluster answers
  4  it is installed, but was not ready in time; the same command goes on
  5  a check before the installation speaks against it; nothing was changed

Environment:
  KUBECONFIG        the cluster, as --kubeconfig
  MESH_PILOT        the control plane, as --pilot
  MESH_LOCAL_STATE  the local mesh's state folder, as --state-dir";

/// The command line of the mesh.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Control plane to talk to [default: unix:STATE_DIR/pilot.sock when a mesh runs on this
    /// machine, else that of the cluster]
    #[arg(long, global = true, env = "MESH_PILOT", value_name = "ADDRESS", hide_env = true)]
    pilot: Option<String>,

    /// State folder of the mesh on this machine
    #[arg(
        long,
        global = true,
        env = "MESH_LOCAL_STATE",
        value_name = "DIR",
        default_value = StateDir::DEFAULT,
        hide_env = true
    )]
    state_dir: PathBuf,

    /// Namespace of what is named without one
    #[arg(short, long, global = true, default_value = "default")]
    pub(crate) namespace: String,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

impl Global {
    pub(crate) fn state(&self) -> StateDir {
        StateDir::new(std::path::absolute(&self.state_dir).unwrap_or(self.state_dir.clone()))
    }

    pub(crate) fn pilot(&self) -> String {
        let socket = || format!("unix:{}", self.state().pilot_socket().display());
        self.pilot.clone().unwrap_or_else(socket)
    }

    /// The mesh that is meant: what the command line names, else that of this machine when
    /// one runs, else that of the cluster when there is a way to one.
    pub(crate) fn place(&self) -> Place {
        let here = self.pilot.is_some() || self.state().pilot_socket().exists();
        let there = self.cluster.is_named() || (!here && cluster::has_default());
        if there && self.pilot.is_none() { Place::Cluster } else { Place::Pilot(self.pilot()) }
    }
}

/// Where the mesh is.
pub(crate) enum Place {
    /// Its control plane answers here, and keeps the rules.
    Pilot(String),
    /// In a Kubernetes cluster.
    Cluster,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add sidecars to Kubernetes YAML and print it
    Inject(InjectArgs),
    /// Put the mesh on a Kubernetes cluster, or bring it up to date
    Install(InstallArgs),
    /// Bring the mesh up to date: the control plane first, then the sidecars
    Upgrade(UpgradeArgs),
    /// Take the mesh off a Kubernetes cluster
    Uninstall(UninstallArgs),
    /// Check a Kubernetes cluster and the mesh in it
    Check(CheckArgs),
    /// Collect what somebody who helps wants to see, in a file
    BugReport(BugReportArgs),
    /// Show what an installation is made of
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Split a service's traffic between its versions
    #[command(subcommand)]
    Route(RouteCommand),
    /// List and remove rules
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Look after one sidecar on a cluster
    #[command(subcommand)]
    Proxy(ProxyCommand),
    /// Show what configuration each proxy has, and which rules are refused
    ProxyStatus(ListArgs),
    /// Run a mesh on this machine
    #[command(subcommand)]
    Local(LocalCommand),
}

/// A command that lists.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}
