//! The supervisor beside a proxy: `redirect` sends a pod's traffic through the proxy,
//! `proxy` runs it, `restart` and `status` ask one that runs.
//!
//! The program is in a library so that its parts can be tested; it has no other user.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod control;
pub mod exit;
mod http;
pub mod identity;
mod job;
pub mod proxy;
pub mod redirect;
mod status;
pub mod wait;

/// The command line.
#[derive(Parser)]
#[command(name = "mesh-agent", version, about = "Redirects a pod's traffic, and runs its proxy")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Redirect this network namespace's traffic to the proxy (iptables; needs NET_ADMIN)
    Redirect(redirect::Args),
    /// Run a proxy: write its bootstrap, start it, watch it, drain it
    #[command(subcommand)]
    Proxy(Role),
    /// Have a running agent replace its proxy while traffic flows
    Restart(control::RestartArgs),
    /// Show how a running agent and its proxies are
    Status(control::StatusArgs),
    /// Wait until the proxy of this pod is ready
    Wait(wait::Args),
}

#[derive(Subcommand)]
enum Role {
    /// The proxy beside one workload
    Sidecar(Box<proxy::SidecarArgs>),
    /// The proxy of a gateway, at the edge of the mesh
    Router(Box<proxy::RouterArgs>),
    /// A proxy with a configuration of your own
    Static(Box<proxy::StaticArgs>),
}

/// Runs the command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Redirect(args) => redirect::run(&args).map(|()| exit::OK),
        Command::Restart(args) => control::restart(&args),
        Command::Status(args) => control::status(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Proxy(Role::Sidecar(args)) => proxy::sidecar(*args),
        Command::Proxy(Role::Router(args)) => proxy::router(*args),
        Command::Proxy(Role::Static(args)) => proxy::with_file(*args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("mesh-agent: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}
