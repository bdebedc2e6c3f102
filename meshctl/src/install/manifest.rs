//! `meshctl manifest`.

use anyhow::Result;
use clap::Subcommand;

use super::chart::ChartArgs;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Print what `meshctl install` applies, without a cluster
    Generate(ChartArgs),
}

pub(crate) fn run(global: &Global, command: &ManifestCommand) -> Result<()> {
    let ManifestCommand::Generate(args) = command;
    let objects = mesh_install::chart::render(&args.release(global)?)?;
    let texts = objects
        .iter()
        .map(|rendered| format!("---\n# Source: {}\n{}\n", rendered.file, rendered.text.trim()));
    output::write(&texts.collect::<String>());
    Ok(())
}
