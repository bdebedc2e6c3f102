//! The flags.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use mesh_runtime::telemetry::Pattern;
use serde_json::{Value, json};

use crate::hot_restart::{self, Place};

const EXIT_CODES: &str = "\
Exit codes:
  0  ended as asked, or handed over to a newer process
  1  a bad configuration, or a start that failed; a running proxy goes on
  2  bad flags
  3  hot restart: the running proxy speaks another version of the protocol, and goes on; it
     has to be ended before this one is started
  4  hot restart: the running proxy refused for now (it is starting, ending, or handing over
     already), and goes on";

/// The data plane of the mesh: Envoy's configuration in, connections and requests through.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesh-proxy", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The bootstrap file, YAML or JSON (Envoy's Bootstrap).
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) config_path: Option<PathBuf>,
    /// A bootstrap as text; merged over the file when both are given.
    #[arg(long, value_name = "YAML")]
    pub(crate) config_yaml: Option<String>,
    /// Run, or only check the configuration.
    #[arg(long, value_enum, default_value = "serve")]
    pub(crate) mode: Mode,
    /// Worker threads; as many as there are CPUs unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: Option<u16>,
    /// error, warn, info, debug, trace or off, or a list such as info,mesh_xds=debug.
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
    /// The form of a log line: %v the message, %l its level, %n where it comes from, %t the
    /// thread, %Y-%m-%d %T.%e the time (UTC) and others of spdlog's flags, as in Envoy.
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::new)]
    pub(crate) log_format: Option<Pattern>,
    /// A file for the address of the admin pages, written when they are there.
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_address_path: Option<PathBuf>,
    /// The node's id for the control plane, over that of the bootstrap.
    #[arg(long, value_name = "ID")]
    pub(crate) service_node: Option<String>,
    /// The node's cluster for the control plane, over that of the bootstrap.
    #[arg(long, value_name = "NAME")]
    pub(crate) service_cluster: Option<String>,
    /// Seconds that connections have to end after SIGTERM, and after the removal of their
    /// listener.
    #[arg(long, value_name = "SECONDS", default_value_t = 45)]
    pub(crate) drain_time_s: u32,
    /// The generation of a hot restart: 0 for the first process, and a higher number for
    /// each that takes over from a running one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) restart_epoch: u32,
    /// Tells proxies apart that share a --socket-path. Turns hot restart on.
    #[arg(long, value_name = "ID")]
    pub(crate) base_id: Option<u32>,
    /// Where processes find each other for a hot restart: each listens at
    /// PATH.<base id>.<epoch>, in a folder that only its owner may write. Turns hot restart
    /// on. Without it --base-id uses a folder of this user below the system's for temporary
    /// files.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket_path: Option<PathBuf>,
    /// Seconds that the older process has, once this one has taken over, until it ends with
    /// all connections that are left.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub(crate) parent_shutdown_time_s: u32,
    /// How HTTP connections go when a newer process has taken over: one after the other over
    /// the drain time, or all at once.
    #[arg(long, value_enum, default_value = "gradual")]
    pub(crate) drain_strategy: DrainStrategy,
    /// Print the version of hot restart's protocol, and end: a proxy takes over only from one
    /// with the same.
    #[arg(long)]
    pub(crate) hot_restart_version: bool,
    /// No hot restart, whatever the other flags say.
    #[arg(long)]
    pub(crate) disable_hot_restart: bool,
}

/// `--drain-strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrainStrategy {
    Gradual,
    Immediate,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Serve,
    Validate,
}

impl Args {
    /// As `/server_info` shows them, in the shape of Envoy's `CommandLineOptions`.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "concurrency": self.workers(),
            "config_path": self.config_path,
            "config_yaml": self.shown_yaml(),
            "drain_time": format!("{}s", self.drain_time_s),
            "log_level": self.log_level,
            "log_format": self.log_format.as_ref().map(Pattern::as_str),
            "admin_address_path": self.admin_address_path,
            "mode": match self.mode {
                Mode::Serve => "Serve",
                Mode::Validate => "Validate",
            },
            "restart_epoch": self.restart_epoch,
            "base_id": self.base_id.unwrap_or_default().to_string(),
            "socket_path": self.socket_path,
            "parent_shutdown_time": format!("{}s", self.parent_shutdown_time_s),
            "drain_strategy": match self.drain_strategy {
                DrainStrategy::Gradual => "Gradual",
                DrainStrategy::Immediate => "Immediate",
            },
            "disable_hot_restart": self.disable_hot_restart,
        })
    }

    pub(super) fn drain_time(&self) -> Duration {
        Duration::from_secs(self.drain_time_s.into())
    }

    /// What they say of hot restarts.
    pub(super) fn hot_restart(&self) -> anyhow::Result<hot_restart::Options> {
        let base_id = self.base_id.unwrap_or_default();
        let prefix = match &self.socket_path {
            _ if self.disable_hot_restart => None,
            Some(path) => Some(path.clone()),
            None => self.base_id.map(|_| own_folder()).transpose()?,
        };
        anyhow::ensure!(
            prefix.is_some() || self.restart_epoch == 0 || self.disable_hot_restart,
            "--restart-epoch {} needs --socket-path or --base-id: there the proxy that it takes \
             over from is found",
            self.restart_epoch
        );
        Ok(hot_restart::Options {
            place: prefix.map(|prefix| Place::new(&prefix, base_id)),
            epoch: self.restart_epoch,
            drain_time: self.drain_time(),
            parent_shutdown: Duration::from_secs(self.parent_shutdown_time_s.into()),
            is_immediate: self.drain_strategy == DrainStrategy::Immediate,
        })
    }

    /// A text with a key in it is not shown.
    fn shown_yaml(&self) -> &str {
        match self.config_yaml.as_deref().unwrap_or_default() {
            text if text.contains("PRIVATE KEY") => "[redacted]",
            text => text,
        }
    }

    /// How many workers there will be.
    pub(crate) fn workers(&self) -> usize {
        match self.concurrency {
            Some(concurrency) => usize::from(concurrency),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// This user's prefix of hot restart's sockets, in a folder that is made when it is not
/// there; whether that is safe is looked at later.
fn own_folder() -> anyhow::Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("mesh-proxy-{uid}"));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.with_context(|| format!("hot restart: cannot make {}", folder.display()))?;
    Ok(folder.join("hot-restart"))
}
