//! What tests and measurements need beside Rust: real peers.

mod debian;
mod envoy;
mod go;
mod python;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::{self, cargo};
use crate::paths;

/// A version that is known to read deny.toml.
const CARGO_DENY: &str = "0.20.2";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to install for.
    #[arg(long = "for", value_enum, default_value = "all")]
    purpose: Purpose,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// What tools are needed for.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Purpose {
    /// Running bookinfo.
    Run,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
    /// `cargo xtask codegen`.
    Codegen,
    /// `cargo xtask cluster up --from-packages`: a Docker engine.
    Cluster,
    /// All of these but the cluster.
    All,
}

/// Installs and says where things are.
pub(crate) fn run(args: &Args) -> Result<()> {
    install(args.purpose, args.yes)?;
    let folder = paths::tools_dir()?;
    eprintln!("every tool is there; those that Debian does not have are in {}", folder.display());
    Ok(())
}

/// Installs what `purpose` needs and is not there.
///
/// # Errors
/// When it cannot be installed from here; the message says what to do by hand.
pub(crate) fn install(purpose: Purpose, yes: bool) -> Result<()> {
    let wants_envoy = matches!(purpose, Purpose::Test | Purpose::Bench | Purpose::All);
    let fetch_envoy = wants_envoy && !envoy::path()?.is_file();
    let is_for_tests = matches!(purpose, Purpose::Test | Purpose::All);
    debian::install(purpose, fetch_envoy || is_for_tests, yes)?;
    if fetch_envoy {
        envoy::fetch()?;
    }
    if is_for_tests {
        python::install()?;
        go::HELM.build()?;
        go::H2SPEC.build()?;
    }
    if purpose == Purpose::All {
        go::GRPCURL.build()?;
        go::FORTIO.build()?;
    }
    Ok(())
}

/// Where Envoy is, once [`install`] has run.
///
/// # Errors
/// When there is no cache folder.
pub(crate) fn envoy() -> Result<PathBuf> {
    envoy::path()
}

/// The folder of the Gateway API's CRDs; fetched when it is missing.
///
/// # Errors
/// When it cannot be fetched, or there is no Go.
pub(crate) fn gateway_api_crds() -> Result<PathBuf> {
    go::gateway_api_crds()
}

/// cargo-deny from the tools folder; built there when it is missing, which takes minutes.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let folder = paths::tools_dir()?;
    let path = folder.join("bin/cargo-deny");
    if !path.is_file() {
        eprintln!("building cargo-deny, once, into {}", folder.display());
        let mut install = cargo();
        install.args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY, "--root"]);
        // Its artifacts are of no use to the workspace's target folder.
        let scratch = tempfile::tempdir().context("making a temporary folder")?;
        install.arg(&folder).env("CARGO_TARGET_DIR", scratch.path());
        command::run(&mut install)?;
    }
    Ok(path)
}
