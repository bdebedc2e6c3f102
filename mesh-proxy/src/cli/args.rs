//! The flags.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

/// The data plane of the mesh: Envoy's configuration in, connections and requests through.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesh-proxy", version)]
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
    /// The generation of a hot restart. There is none yet: 0.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=0))]
    pub(crate) restart_epoch: u32,
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
            "config_yaml": self.config_yaml.as_deref().unwrap_or_default(),
            "drain_time": format!("{}s", self.drain_time_s),
            "log_level": self.log_level,
            "mode": match self.mode {
                Mode::Serve => "Serve",
                Mode::Validate => "Validate",
            },
            "restart_epoch": self.restart_epoch,
        })
    }

    /// How many workers there will be.
    pub(crate) fn workers(&self) -> usize {
        match self.concurrency {
            Some(concurrency) => usize::from(concurrency),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
