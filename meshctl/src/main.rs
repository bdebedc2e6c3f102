//! The command line of the mesh.

mod cli;
mod cluster;
mod failure;
mod inject;
mod input;
mod install;
mod local;
mod mesh;
mod output;
mod proxy;
mod proxy_status;
mod route;
mod rule;
mod rules;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { global, command } = cli;
    match command {
        Command::Inject(args) => inject::run(&global, &args).await,
        Command::Install(args) => install::install(&global, &args).await,
        Command::Upgrade(args) => install::upgrade(&global, &args).await,
        Command::Uninstall(args) => install::uninstall(&global, &args).await,
        Command::Check(args) => install::check(&global, &args).await,
        Command::BugReport(args) => install::bug_report(&global, &args).await,
        Command::Manifest(command) => install::manifest(&global, &command),
        Command::Route(command) => route::run(&global, command).await,
        Command::Rule(command) => rule::run(&global, command).await,
        Command::Proxy(command) => proxy::run(&global, command).await,
        Command::ProxyStatus(args) => proxy_status::run(&global, args.output).await,
        Command::Local(command) => local::run(&global, command).await,
    }
}
