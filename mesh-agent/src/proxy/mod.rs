//! `mesh-agent proxy`: runs a proxy from its first configuration to its last connection.

mod admin;
mod agent;
mod args;
mod binary;
pub mod bootstrap;
mod child;
mod emptying;
pub mod node;
mod orphans;
mod readiness;
mod run;
mod servers;
mod supervisor;

pub use args::Args;
pub use binary::Kind;

use anyhow::Context;

/// Runs the proxy until it is told to end, and gives the exit code (see [`crate::exit`]).
pub fn run(args: Args) -> anyhow::Result<u8> {
    mesh_runtime::telemetry::init(&args.log_level)?;
    // One thread: a child is killed when the thread that started it ends, and so the
    // thread that starts it must be the one that lasts.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(run::run(args))
}
