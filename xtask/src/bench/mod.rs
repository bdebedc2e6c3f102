//! Measurements beside real peers, in one run on one machine.
//!
//! The proxy that is measured has a core to itself; client and upstream share another. So
//! the CPU time that a request costs is the proxy's alone, and the ratio between proxies can
//! be compared from machine to machine, which times cannot.

mod client;
mod proxy;
mod report;
mod sidecar;
mod upstream;

use anyhow::{Result, ensure};
use clap::{Subcommand, ValueEnum};

/// The core of client and upstream, and that of the proxy.
const CORES: [&str; 2] = ["0", "1"];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// mesh-proxy beside Envoy, HAProxy and nginx: HTTP/1.1, HTTP/2, from one to the other, TCP,
    /// TLS, large bodies, many routes, and the memory of idle connections and many clusters.
    Proxy(proxy::Args),
    /// A pair of mesh-proxy beside a pair of Envoy as sidecars, with mutual TLS between them,
    /// and beside no mesh.
    Sidecar(sidecar::Args),
}

/// What to print.
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
        What::Proxy(args) => proxy::run(args),
        What::Sidecar(args) => sidecar::run(args),
    }
}
