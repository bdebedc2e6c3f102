//! `meshctl install`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use mesh_install::{Events, Settings};

use super::chart::ChartArgs;
use super::progress;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    chart: ChartArgs,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// How long to wait until everything is ready, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,
}

/// A number with s or m.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s or m, such as 90s".to_owned();
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').ok_or_else(expected)?, 1),
    };
    let number: u32 = number.parse().map_err(|_| expected())?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}

pub(crate) async fn run(global: &Global, args: &InstallArgs) -> Result<()> {
    let start = Instant::now();
    let release = args.chart.release(global)?;
    // Refused as a whole, before anybody is asked anything.
    let objects = mesh_install::chart::render(&release)?;
    let client = global.cluster.connect().await?;
    if !args.yes {
        ask(&format!(
            "{} objects go into the cluster; its mesh is in {}.",
            objects.len(),
            release.namespace
        ))?;
    }
    let settings = Settings { release, timeout: args.timeout };
    let (events, progress) = progress::start();
    let installed = mesh_install::install(&client, &settings, &Events::new(events)).await;
    progress.end().await;
    installed?;
    output::write(&format!("the mesh is ready after {:.1} s\n", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Goes on only when somebody says so.
pub(super) fn ask(what: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("{what} Nobody can be asked here: say --yes");
    }
    eprint!("{what} Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        bail!("nothing was done");
    }
    Ok(())
}
