//! Measurements beside real peers, in one run on one machine.
//!
//! The proxy that is measured has a core to itself; client and upstream share another. So
//! the CPU time that a request costs is the proxy's alone, and the ratio between proxies can
//! be compared from machine to machine, which times cannot.

mod client;
mod contender;
mod report;
mod sidecar;
mod upstream;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Subcommand, ValueEnum};

use crate::bench::client::Workload;
use crate::bench::contender::{Contender, Kind};
use crate::bench::report::Measured;
use crate::bench::upstream::Upstream;
use crate::process::{Place, Usage};
use crate::{build, tools};

/// The core of client and upstream, and that of the proxy.
const CORES: [&str; 2] = ["0", "1"];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// mesh-proxy beside Envoy and HAProxy: HTTP/1.1 with 64 connections, HTTP/2 with 8
    /// connections of 16 streams.
    Proxy(ProxyArgs),
    /// A pair of mesh-proxy beside a pair of Envoy as sidecars, with mutual TLS between them,
    /// and beside no mesh.
    Sidecar(sidecar::Args),
}

#[derive(clap::Args)]
struct ProxyArgs {
    /// How often each proxy is measured; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one measurement takes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Measure this mesh-proxy instead of building it with --release.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Runs the measurement.
///
/// # Errors
/// When a tool is missing or a proxy fails a request.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= CORES.len(), "needs a core for the proxy and one for the rest, has {cores}");
    match &args.what {
        What::Proxy(args) => proxy(args),
        What::Sidecar(args) => sidecar::run(args),
    }
}

fn proxy(args: &ProxyArgs) -> Result<()> {
    tools::install(tools::Purpose::Bench, args.yes)?;
    let mesh_proxy = match &args.binary {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => build::build_packages(&["mesh-proxy"], true)?.join("mesh-proxy"),
    };
    let measured = measure(args, mesh_proxy)?;
    match args.output {
        Output::Table => print!("{}", report::table(&measured)),
        Output::Json => println!("{:#}", report::json(&measured)),
    }
    Ok(())
}

fn measure(args: &ProxyArgs, mesh_proxy: PathBuf) -> Result<Vec<Measured>> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let upstream = Upstream::start(folder.path())?;
    let place = Place::core(CORES[0]);
    let mut kinds = [Kind::Envoy(tools::envoy()?), Kind::HaProxy, Kind::MeshProxy(mesh_proxy)];
    let mut measured = Vec::new();
    for round in 1..=args.rounds {
        for kind in &kinds {
            let proxy = Contender::start(kind, &upstream, folder.path())?;
            for workload in Workload::ALL {
                let address = proxy.address(workload);
                client::run(workload, address, 1, folder.path(), place).context(kind.name())?;
                let before = Usage::of(proxy.id())?;
                let result = client::run(workload, address, args.seconds, folder.path(), place)
                    .with_context(|| format!("{} through {}", workload.name(), kind.name()))?;
                let used = Usage::of(proxy.id())?;
                let one = Measured::new(kind.name(), workload, &result, &before, &used);
                eprintln!("round {round} of {}: {one}", args.rounds);
                measured.push(one);
            }
        }
        // So that no proxy is always the first or comes always after the same other.
        kinds.rotate_left(1);
    }
    Ok(measured)
}
