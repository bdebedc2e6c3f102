//! `mesh-agent proxy`: runs a proxy from its first configuration to its last connection.

pub(crate) mod admin;
mod agent;
mod args;
mod binary;
pub mod bootstrap;
mod causes;
mod certificates;
mod descriptor;
mod emptying;
mod found;
mod generation;
mod hot_restart;
pub mod local_api;
mod log;
pub mod node;
mod orphans;
mod plan;
mod process;
pub mod requests;
mod revisions;
mod run;
mod servers;
mod source;
mod strays;
mod supervisor;
mod watch;

pub use args::{ApplicationArgs, RouterArgs, RunArgs, SidecarArgs, StaticArgs, WorkloadArgs};
pub use binary::Kind;

use anyhow::Context;

/// Runs a workload's proxy until it is told to end, and gives the exit code (see
/// [`crate::exit`]).
pub fn sidecar(args: SidecarArgs) -> anyhow::Result<u8> {
    mesh_runtime::telemetry::init(&args.run.log_level)?;
    on_this_thread(run::sidecar(args))
}

/// Runs a gateway's proxy, as [`sidecar`] does.
pub fn router(args: RouterArgs) -> anyhow::Result<u8> {
    mesh_runtime::telemetry::init(&args.run.log_level)?;
    on_this_thread(run::router(args))
}

/// Runs a proxy with a file of the user's, as [`sidecar`] does.
pub fn with_file(args: StaticArgs) -> anyhow::Result<u8> {
    mesh_runtime::telemetry::init(&args.run.log_level)?;
    on_this_thread(run::with_file(args))
}

/// One thread is enough, and takes the least memory.
fn on_this_thread(agent: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(agent)
}
