//! `meshctl local`: a mesh on this machine.

mod apply;
mod exec;
mod find;
mod logs;
mod progress;
mod ps;
mod up;

use anyhow::Result;
use clap::Subcommand;
use mesh_local::Client;

use crate::cli::{Global, ListArgs};
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    /// Run Deployments, Pods and Services until Ctrl-C; needs root
    Up(up::UpArgs),
    /// Stop the mesh, and clear what a killed one has left
    Down,
    /// List the pods
    Ps(ListArgs),
    /// Print a container's output
    Logs(logs::LogsArgs),
    /// Apply Deployments, Pods, Services and rules to the running mesh
    Apply(apply::ApplyArgs),
    /// Run a command in a pod's network; needs root
    Exec(exec::ExecArgs),
}

pub(crate) async fn run(global: &Global, command: LocalCommand) -> Result<()> {
    match command {
        LocalCommand::Up(args) => up::run(global, args).await,
        LocalCommand::Down => down(global).await,
        LocalCommand::Ps(args) => ps::run(global, args.output).await,
        LocalCommand::Logs(args) => logs::run(global, &args).await,
        LocalCommand::Apply(args) => apply::run(global, &args).await,
        LocalCommand::Exec(args) => exec::run(global, &args).await,
    }
}

async fn down(global: &Global) -> Result<()> {
    let was_there = Client::new(global.state()).down().await?;
    let text = if was_there { "the mesh is down\n" } else { "no mesh was running\n" };
    output::write(text);
    Ok(())
}
