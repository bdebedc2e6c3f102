//! `meshctl upgrade`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use kube::Client;
use mesh_install::chart::Release;
use mesh_install::{Events, ObjectName, Rollout};
use serde_json::json;

use super::ask::ask;
use super::chart::ChartArgs;
use super::run::{carry_out, check};
use super::{progress, time};
use crate::cli::Global;
use crate::{cluster, output};

/// The control plane first, then the sidecars: pods are made anew, workload by workload. With
/// --revision, a second control plane is installed beside the first and namespaces are moved
/// to it; with the first one's name they are moved back.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    chart: ChartArgs,

    /// Only the pods of this namespace; the others and the gateway stay for now
    #[arg(long, value_name = "NAMESPACE")]
    only: Vec<String>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Only check, and print what would be done
    #[arg(long)]
    dry_run: bool,

    /// Upgrade although a check speaks against it
    #[arg(long)]
    force: bool,

    /// How long to wait for the control plane, and then for each workload, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,
}

pub(crate) async fn run(global: &Global, args: &UpgradeArgs) -> Result<()> {
    let client = global.cluster.connect().await?;
    let mut release = args.chart.release(global)?;
    let revision = args.chart.revision();
    let known = mesh_install::remembered(&client, &release.namespace, revision).await;
    if let Some(values) = known.map_err(cluster::explain)? {
        release.values.insert(args.chart.below_typed(), values);
    }
    let objects = mesh_install::objects(&release)?;
    check(&client, &release, args.force).await?;
    let rollout = mesh_install::find_stale(&client, &release, &objects, &args.only).await?;
    eprint!("{}", by_hand(&rollout));
    if args.dry_run {
        output::write(&list(&rollout));
        return Ok(());
    }
    if !args.yes {
        eprint!("{}", list(&rollout));
        let pods = format!("the pods of {} workloads", rollout.workloads.len());
        ask(&format!("The control plane {revision} is upgraded, then {pods} are made anew."))?;
    }
    carry_out(&client, release.clone(), args.timeout).await?;
    let (events, progress) = progress::start();
    let done = mesh_install::roll_out(&client, &rollout, args.timeout, &Events::new(events)).await;
    progress.end().await;
    done?;
    if args.only.is_empty() {
        bring_gateway(&client, release, revision, args.timeout).await?;
    }
    let count = rollout.workloads.len();
    output::write(&format!("{count} workloads have their sidecars of {revision}\n"));
    Ok(())
}

/// The gateway goes with the last of the workloads.
async fn bring_gateway(
    client: &Client,
    mut release: Release,
    revision: &str,
    timeout: Duration,
) -> Result<()> {
    let now = mesh_install::gateway_revision(client, &release.namespace).await;
    if now.map_err(cluster::explain)?.is_none_or(|now| now == revision) {
        return Ok(());
    }
    release.values.push(json!({"ingressGateway": {"enabled": true}}));
    carry_out(client, release, timeout).await
}

fn list(rollout: &Rollout) -> String {
    let moved = rollout.namespaces.iter().map(|name| format!("move        Namespace {name}\n"));
    let renewed = rollout.workloads.iter().map(|workload| format!("new pods    {workload}\n"));
    moved.chain(renewed).collect()
}

fn by_hand(rollout: &Rollout) -> String {
    let line = |(workload, why): &(ObjectName, &str)| format!("by hand     {workload}: {why}\n");
    rollout.by_hand.iter().map(line).collect()
}
