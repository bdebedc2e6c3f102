//! Every chore of the project: build, test, bench, bookinfo, images, a cluster, e2e.
//!
//! It is the first thing that a new user compiles, so it uses few crates and no runtime.

mod bench;
mod binomial;
mod bookinfo;
mod bootstrap;
mod build;
mod ci;
mod cluster;
mod codegen;
mod command;
mod conformance;
mod docker;
mod e2e;
mod hot_restart;
mod http;
mod images;
mod kill_matrix;
mod kube;
#[cfg(target_arch = "x86_64")]
mod layout;
mod load_report;
mod local_mesh;
mod paths;
mod process;
mod progress;
mod rotate;
mod test;
mod tools;

use clap::{Parser, Subcommand};

/// Every chore of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the mesh's binaries.
    Build {
        /// With fat LTO, as they are shipped and measured. Slow.
        #[arg(long)]
        release: bool,
    },
    /// Bring the bookinfo sample up in a mesh on this machine, until Ctrl-C.
    Bookinfo(bookinfo::Args),
    /// Run every test, the whole mesh included.
    Test(test::Args),
    /// Ask Envoy and mesh-proxy the same things under the same configuration, and compare.
    Conformance(conformance::Args),
    /// Measure beside real peers.
    Bench(bench::Args),
    /// Replace the proxy under load, many times in a row, and count what is lost.
    HotRestart(hot_restart::Args),
    /// Kill the old proxy, the new one and the agent in each state of a handover.
    KillMatrix,
    /// Replace certificates every few seconds under load by mutual TLS, in a mesh on this
    /// machine.
    Rotate(rotate::Args),
    /// Find out which functions of agent and proxy run beside a workload, and write the lists by
    /// which release builds place them beside each other. After large changes; needs root.
    #[cfg(target_arch = "x86_64")]
    Layout(layout::Args),
    /// Format, clippy, generated files, cargo deny, every test; with --e2e what the server runs.
    Ci(ci::Args),
    /// Install what tests and measurements need beside Rust: Envoy into your cache folder,
    /// the rest from Debian's packages.
    Tools(tools::Args),
    /// Build the container images.
    Images(images::Args),
    /// A Kubernetes cluster on this machine, by kind.
    Cluster(cluster::Args),
    /// The mesh on a Kubernetes cluster: installed, tested by name, measured, uninstalled.
    E2e(e2e::Args),
    /// Make the checked-in files that are generated: mesh-proto's from their .proto sources, the
    /// custom resource definitions from mesh-rules.
    Codegen {
        /// Only say whether they are up to date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().chore {
        Chore::Build { release } => build::build(release).map(drop),
        Chore::Bookinfo(args) => bookinfo::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Conformance(args) => conformance::run(&args),
        Chore::Bench(args) => bench::run(&args),
        Chore::HotRestart(args) => hot_restart::run(&args),
        Chore::KillMatrix => kill_matrix::run(),
        Chore::Rotate(args) => rotate::run(&args),
        #[cfg(target_arch = "x86_64")]
        Chore::Layout(args) => layout::run(&args),
        Chore::Ci(args) => ci::run(&args),
        Chore::Tools(args) => tools::run(&args),
        Chore::Images(args) => images::run(&args),
        Chore::Cluster(args) => cluster::run(&args),
        Chore::E2e(args) => e2e::run(&args),
        Chore::Codegen { check } => codegen::run(check),
    }
}
