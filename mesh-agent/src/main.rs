//! The supervisor beside a proxy.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    mesh_tls::install();
    mesh_agent::run(mesh_agent::Cli::parse())
}
