//! `meshctl upgrade`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use kube::Client;
use mesh_install::chart::Release;
use mesh_install::{Events, ObjectName, Rollout, Which};
use serde::Serialize;
use serde_json::json;

use super::ask::ask;
use super::chart::ChartArgs;
use super::run::{carry_out, check};
use super::{progress, time};
use crate::cli::Global;
use crate::cluster;
use crate::output::{self, Format};

/// The control plane first, then the sidecars: pods are made anew, workload by workload. With
/// --revision, a second control plane is installed beside the first and the namespaces of all
/// others of this mesh are moved to it; with the first one's name (default) they are moved back.
/// What no rollout would change is listed, with the command that does.
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

    /// How to print what --dry-run finds
    #[arg(short, long, value_enum, default_value_t, requires = "dry_run")]
    output: Format,

    /// How long to wait for the control plane, and then for each workload, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,
}

/// What would become of an object, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    action: Action,
    #[serde(flatten)]
    object: ObjectName,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Its namespace asks for the revision from now on.
    Move,
    NewPods,
    ByHand,
}

pub(crate) async fn run(global: &Global, args: &UpgradeArgs) -> Result<()> {
    let client = global.cluster.connect().await?;
    let revision = args.chart.revision();
    let release = args.chart.over_known(&client, args.chart.release(global)?).await?;
    let objects = mesh_install::objects(&release)?;
    check(&client, &release, args.force).await?;
    // Without a name nobody is to go elsewhere.
    let which = Which { only: args.only.clone(), moves: args.chart.names_revision() };
    let rollout = mesh_install::find_stale(&client, &release, &objects, &which).await?;
    let rows = rows(&rollout);
    if args.dry_run {
        return output::print(args.output, &rows, || rows.iter().map(line).collect());
    }
    let is_left = |row: &&Row| !args.yes || matches!(row.action, Action::ByHand);
    eprint!("{}", rows.iter().filter(is_left).map(line).collect::<String>());
    if !args.yes {
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
    output::write(&done_with(&rollout, revision));
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

fn rows(rollout: &Rollout) -> Vec<Row> {
    let row = |action, object: &ObjectName, why: Option<&String>| Row {
        action,
        object: object.clone(),
        why: why.cloned(),
    };
    let namespace = |name: &String| ObjectName {
        kind: "Namespace".to_owned(),
        namespace: None,
        name: name.clone(),
    };
    let moved = rollout.namespaces.iter().map(|name| row(Action::Move, &namespace(name), None));
    let renewed = rollout.workloads.iter().map(|object| row(Action::NewPods, object, None));
    let left = rollout.by_hand.iter().map(|(object, why)| row(Action::ByHand, object, Some(why)));
    moved.chain(renewed).chain(left).collect()
}

fn line(Row { action, object, why }: &Row) -> String {
    let action = match action {
        Action::Move => "move       ",
        Action::NewPods => "new pods   ",
        Action::ByHand => "by hand    ",
    };
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{action} {object}{why}\n")
}

fn done_with(rollout: &Rollout, revision: &str) -> String {
    let done = format!("{} workloads have their sidecars of {revision}", rollout.workloads.len());
    match rollout.by_hand.len() {
        0 => format!("{done}\n"),
        left => format!("{done}, {left} are left to be done by hand, as said above\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_the_same_for_people_and_programs() {
        let object = |name: &str| ObjectName {
            kind: "Deployment".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        };
        let mut rollout = Rollout::default();
        rollout.namespaces.push("shop".to_owned());
        rollout.workloads.push(object("a"));
        rollout.by_hand.push((object("b"), "its rollout is paused".to_owned()));
        let rows = rows(&rollout);
        let text: String = rows.iter().map(line).collect();
        assert_eq!(
            text,
            "move        Namespace shop\nnew pods    Deployment shop/a\n\
             by hand     Deployment shop/b: its rollout is paused\n"
        );
        let rows = serde_json::to_value(&rows).unwrap();
        assert_eq!(rows[1]["action"], "new-pods");
        assert_eq!(rows[2]["name"], "b");
        assert!(rows[2]["why"].is_string() && rows[1].get("why").is_none());
        assert!(
            done_with(&rollout, "canary")
                .ends_with("1 are left to be done by hand, as said above\n")
        );
    }
}
