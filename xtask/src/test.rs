//! Every test: those of the crates, and the whole mesh.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::{self, as_root, cargo, is_ci, is_root};
use crate::{bookinfo, build, conformance, hot_restart, rotate, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

impl Args {
    /// Nobody is there to ask.
    pub(crate) fn unattended() -> Self {
        Self { yes: true }
    }
}

/// Installs what the tests need, builds, runs the crates' tests, compares with Envoy, then
/// bookinfo's check.
///
/// # Errors
/// When a test fails; with `CI=true` also when one cannot run.
pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    tools::install(tools::Purpose::Test, args.yes)?;
    let folder = build::build_all()?;
    command::run(
        cargo().args(["test", "--workspace", "--no-fail-fast"]).env("MESH_BIN_DIR", &folder),
    )?;

    conformance::run_from(&folder).context("conformance")?;
    hot_restart::run_from(&folder, &hot_restart::Args::check()).context("hot-restart --check")?;
    let mut left_out = Vec::new();
    if !is_root() {
        left_out.push("the crates' tests in network namespaces (they need root)".to_owned());
    }
    match as_root("meshctl") {
        Ok(_) => {
            bookinfo::run_from(&folder, &bookinfo::Args::check(false))?;
            bookinfo::run_from(&folder, &bookinfo::Args::check(true))
                .context("with a stock Envoy")?;
            rotate::run_from(&folder, &rotate::Args::check()).context("rotate --check")?;
        }
        Err(why) => left_out.push(format!("bookinfo --check and rotate --check: {why}")),
    }
    let seconds = start.elapsed().as_secs_f64();
    if left_out.is_empty() {
        eprintln!("every test passed, in {seconds:.0} s");
        return Ok(());
    }
    eprintln!("\nWHAT RAN PASSED ({seconds:.0} s), BUT THIS DID NOT RUN:");
    for what in &left_out {
        eprintln!("  - {what}");
    }
    if is_ci() {
        bail!("with CI=true every test must run");
    }
    Ok(())
}
