//! `meshctl bug-report`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use mesh_install::{Events, bug_report};

use super::progress;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct BugReportArgs {
    /// File to write; it has no keys, tokens or Secrets in it
    #[arg(short, long, value_name = "FILE", default_value = "mesh-bug-report.tar.gz")]
    file: PathBuf,
}

pub(crate) async fn run(global: &Global, args: &BugReportArgs) -> Result<()> {
    let client = global.cluster.connect().await?;
    let (events, progress) = progress::start();
    let events = Events::new(events);
    let pieces = bug_report::gather(&client, &global.cluster.mesh_namespace, &events).await;
    drop(events);
    progress.end().await;
    let packed = bug_report::pack(&pieces, "mesh-bug-report").context("packing")?;
    std::fs::write(&args.file, &packed).with_context(|| args.file.display().to_string())?;
    let kilobytes = packed.len().div_ceil(1024);
    output::write(&format!("{}: {} files, {kilobytes} kB\n", args.file.display(), pieces.len()));
    Ok(())
}
