//! Mixed load that counts what it loses, and the upstreams behind it.
//!
//! `upstream` gives back what it gets. `run` makes load of many kinds at once and checks
//! every answer. `get` asks once. `certificates` makes files for mutual TLS between them.

mod book;
mod certificates;
mod client;
mod connect;
mod failure;
mod get;
mod histogram;
mod pace;
mod pattern;
mod run;
mod scenario;
mod serial;
mod upstream;

use clap::{Parser, Subcommand};

/// Mixed load that counts what it loses.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Answer HTTP, gRPC, WebSockets and TCP with what comes.
    Upstream(upstream::Args),
    /// Make the load of a scenario file and report.
    Run(run::Args),
    /// Ask once by HTTP/1.1, and print the answer.
    Get(get::Args),
    /// Print the serial number of the certificate that a server shows now.
    Serial(serial::Args),
    /// Make an authority and certificates of it.
    Certificates(certificates::Args),
}

fn main() -> anyhow::Result<()> {
    mesh_tls::install();
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match &args.what {
            What::Upstream(args) => upstream::run(args).await,
            What::Run(args) => run::run(args).await,
            What::Get(args) => get::run(args).await,
            What::Serial(args) => serial::run(args).await,
            What::Certificates(args) => certificates::run(args),
        }
    });
    // A read of standard input may still wait.
    runtime.shutdown_background();
    outcome
}
