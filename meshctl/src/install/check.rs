//! `meshctl check`.

use anyhow::Result;
use clap::Args;
use mesh_install::check::{self, Finding, Level};

use super::chart::ChartArgs;
use crate::cli::Global;
use crate::failure::Unhealthy;
use crate::output::{self, Format};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Whether the mesh could be installed, instead of how the one is that is there
    #[arg(long)]
    pre: bool,

    #[command(flatten)]
    chart: ChartArgs,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) async fn run(global: &Global, args: &CheckArgs) -> Result<()> {
    let release = args.chart.release(global)?;
    let client = global.cluster.connect().await?;
    let findings = match args.pre {
        true => check::before(&client, &release).await?,
        false => check::after(&client, &global.cluster.mesh_namespace).await,
    };
    output::print(args.output, &findings, || table(&findings))?;
    match check::worst(&findings) {
        Level::Error => Err(Unhealthy.into()),
        Level::Ok | Level::Warning => Ok(()),
    }
}

pub(super) fn table(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|Finding { check, level, message }| {
        let mark = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "ERROR",
        };
        format!("{mark:<8} {check}: {message}\n")
    });
    lines.collect()
}
