//! `meshctl install`.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use kube::Client;
use mesh_install::chart::Release;
use mesh_install::check::{self, Level};
use mesh_install::{Change, Events, GRACE, ObjectName, Settings};
use serde::Serialize;

use super::ask::ask;
use super::chart::ChartArgs;
use super::check::table;
use super::{progress, time};
use crate::cli::Global;
use crate::failure::Refused;
use crate::output::{self, Format};

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    chart: ChartArgs,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Only check, and print what would be changed
    #[arg(long)]
    dry_run: bool,

    /// Install although a check speaks against it
    #[arg(long)]
    force: bool,

    /// How long to wait until everything is ready, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,

    /// How to print what --dry-run finds
    #[arg(short, long, value_enum, default_value_t, requires = "dry_run")]
    output: Format,
}

/// What would become of an object, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    object: ObjectName,
    change: Change,
}

pub(crate) async fn run(global: &Global, args: &InstallArgs) -> Result<()> {
    let mut release = args.chart.release(global)?;
    // Refused as a whole, before anything is looked at.
    let mut objects = mesh_install::objects(&release)?;
    let client = global.cluster.connect().await?;
    if args.chart.names_revision() {
        release = args.chart.over_known(&client, release).await?;
        objects = mesh_install::objects(&release)?;
    }
    check(&client, &release, args.force).await?;
    let plan = mesh_install::plan(&client, &objects).await?;
    if args.dry_run {
        return print(args.output, plan);
    }
    let summary = summary(&plan);
    if !args.yes {
        eprint!("{}", lines(&plan));
        ask(&format!("{summary} in the cluster; the mesh is in {}.", release.namespace))?;
    }
    carry_out(&client, release, args.timeout).await
}

/// Speaks up only when something is not as it should be.
pub(super) async fn check(client: &Client, release: &Release, force: bool) -> Result<()> {
    let mut findings = check::before(client, release).await?;
    findings.retain(|finding| finding.level != Level::Ok);
    eprint!("{}", table(&findings));
    if check::worst(&findings) == Level::Error && !force {
        let why = "see the lines with ERROR (--force goes on regardless)";
        return Err(Refused(why.to_owned()).into());
    }
    Ok(())
}

/// Installs and says how long it took.
pub(super) async fn carry_out(client: &Client, release: Release, timeout: Duration) -> Result<()> {
    let start = Instant::now();
    let settings = Settings { release, timeout, grace: GRACE };
    let (events, progress) = progress::start();
    let installed = mesh_install::install(client, &settings, &Events::new(events)).await;
    progress.end().await;
    installed?;
    output::write(&format!("the mesh is ready after {:.1} s\n", start.elapsed().as_secs_f64()));
    Ok(())
}

fn print(format: Format, plan: Vec<(ObjectName, Change)>) -> Result<()> {
    let text = format!("{}{}\n", lines(&plan), summary(&plan));
    let rows: Vec<_> = plan.into_iter().map(|(object, change)| Row { object, change }).collect();
    output::print(format, &rows, || text)
}

fn lines(plan: &[(ObjectName, Change)]) -> String {
    let changed = plan.iter().filter(|(_, change)| *change != Change::Unchanged);
    let line = |(object, change): &(ObjectName, Change)| match change {
        Change::Created => format!("create      {object}\n"),
        Change::LeftAlone => format!("leave alone {object}\n"),
        Change::Changed | Change::Unchanged => format!("change      {object}\n"),
    };
    changed.map(line).collect()
}

fn summary(plan: &[(ObjectName, Change)]) -> String {
    let count = |wanted| plan.iter().filter(|(_, change)| *change == wanted).count();
    format!(
        "{} objects to create, {} to change, {} as they should be",
        count(Change::Created),
        count(Change::Changed),
        count(Change::Unchanged) + count(Change::LeftAlone)
    )
}
