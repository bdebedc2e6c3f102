//! mesh-proxy beside Envoy, case by case: `mesh-conform` does it, this builds it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{command, paths, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What mesh-conform takes: --only TEXT, --list, --show, -o json, --keep, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

/// Builds both programs and compares mesh-proxy with Envoy.
///
/// # Errors
/// When something differs that is not listed as wanted.
pub(crate) fn run(args: &Args) -> Result<()> {
    tools::install(tools::Purpose::Test, args.yes)?;
    let programs = ["--bin", "mesh-conform", "--bin", "mesh-proxy"];
    // With the features of the whole workspace, so that nothing is built twice.
    command::run(command::cargo().args(["build", "--workspace"]).args(programs))?;
    compare(&paths::target_dir()?.join("debug"), &args.args)
}

/// Compares with programs that are built already.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from(folder: &Path) -> Result<()> {
    compare(folder, &[])
}

fn compare(folder: &Path, args: &[String]) -> Result<()> {
    let program = |name: &str| -> PathBuf { folder.join(name) };
    let mut conform = Command::new(program("mesh-conform"));
    conform.arg("--mesh-proxy").arg(program("mesh-proxy"));
    conform.arg("--envoy").arg(tools::envoy()?);
    command::run(conform.args(args))
}
