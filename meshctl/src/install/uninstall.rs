//! `meshctl uninstall`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use mesh_install::{Events, Found, Scope};

use super::ask::ask;
use super::{progress, time};
use crate::cli::Global;
use crate::failure::Refused;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// Only the control plane of this name
    #[arg(long, value_name = "NAME", conflicts_with = "purge")]
    revision: Option<String>,

    /// Also the kinds of rules, with every rule, the mesh's roots, and its namespace
    #[arg(long)]
    purge: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Delete a revision although namespaces ask for it
    #[arg(long)]
    force: bool,

    /// Only print what would be deleted
    #[arg(long)]
    dry_run: bool,

    /// How long to wait until everything is gone, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,
}

pub(crate) async fn run(global: &Global, args: &UninstallArgs) -> Result<()> {
    let scope = match (&args.revision, args.purge) {
        (Some(revision), _) => Scope::Revision(revision.clone()),
        (None, true) => Scope::Purge,
        (None, false) => Scope::Mesh,
    };
    let client = global.cluster.connect().await?;
    let found = mesh_install::find(&client, &global.cluster.mesh_namespace, &scope).await?;
    if found.objects.is_empty() {
        output::write("nothing of it is in the cluster\n");
        return Ok(());
    }
    if args.dry_run {
        output::write(&list(&found));
        return Ok(());
    }
    if !found.asking.is_empty() && !args.force {
        return Err(Refused(format!(
            "pods of {} get their sidecars from it; `meshctl upgrade` with the --revision that \
             stays moves them (--force goes on regardless)",
            found.asking.join(", ")
        ))
        .into());
    }
    eprint!("{}", warnings(&found));
    if !args.yes {
        eprint!("{}", list(&found));
        ask(&format!("{} objects are deleted.", found.objects.len()))?;
    }
    let (events, progress) = progress::start();
    let gone = mesh_install::uninstall(&client, &found, args.timeout, &Events::new(events)).await;
    progress.end().await;
    gone?;
    output::write(&format!("{} objects are gone\n", found.objects.len()));
    Ok(())
}

fn list(found: &Found) -> String {
    found.objects.iter().map(|object| format!("{object}\n")).collect()
}

fn warnings(found: &Found) -> String {
    let mut text = String::new();
    if !found.in_use.is_empty() {
        text.push_str(&format!(
            "pods with sidecars are in {}: they go on with what they have; take the label away \
             and roll them out anew (`kubectl rollout restart`) to be rid of their sidecars\n",
            found.in_use.join(", ")
        ));
    }
    if found.rules > 0 {
        text.push_str(&format!("{} rules go with their kinds\n", found.rules));
    }
    text
}
