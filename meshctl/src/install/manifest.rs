//! `meshctl manifest`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::chart::ChartArgs;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Print what `meshctl install` applies, without a cluster
    Generate(GenerateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    chart: ChartArgs,

    /// Without the kinds of rules: where another mesh has made them, as Istio has, `kubectl apply`
    /// would replace them (with Helm, the same flag)
    #[arg(long)]
    skip_crds: bool,
}

pub(crate) fn run(global: &Global, command: &ManifestCommand) -> Result<()> {
    let ManifestCommand::Generate(args) = command;
    let objects = mesh_install::chart::render(&args.chart.release(global)?)?;
    let objects = objects.iter().filter(|one| !(args.skip_crds && one.is_definition()));
    let texts = objects
        .map(|rendered| format!("---\n# Source: {}\n{}\n", rendered.file, rendered.text.trim()));
    output::write(&texts.collect::<String>());
    Ok(())
}
