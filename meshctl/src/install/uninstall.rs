//! `meshctl uninstall`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use mesh_install::{Events, Found, Scope};

use super::ask::ask;
use super::{progress, time};
use crate::cli::Global;
use crate::failure::Refused;
use crate::output::{self, Format};

const NOTHING: &str = "nothing of it is in the cluster\n";

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

    /// How to print what --dry-run finds
    #[arg(short, long, value_enum, default_value_t, requires = "dry_run")]
    output: Format,

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
    if args.dry_run {
        return output::print(args.output, &found.objects, || list(&found));
    }
    if found.objects.is_empty() {
        output::write(NOTHING);
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
    eprint!("{}", warnings(&found, &scope));
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
    match &found.objects[..] {
        [] => NOTHING.to_owned(),
        objects => objects.iter().map(|object| format!("{object}\n")).collect(),
    }
}

fn warnings(found: &Found, scope: &Scope) -> String {
    let mut text = String::new();
    if !found.in_use.is_empty() {
        let lost = match scope {
            Scope::Purge => "the mesh's roots and pilots",
            Scope::Mesh | Scope::Revision(_) => "the pilots",
        };
        text.push_str(&format!(
            "pods with sidecars are in {}: those that run go on with what they have, until their \
             certificates end; one that starts anew, or is injected by hand, waits for {lost} and \
             does not become ready. To be rid of a sidecar that an injector gave, take the label \
             away and roll the pods out anew (`kubectl rollout restart`)\n",
            found.in_use.join(", ")
        ));
    }
    if !found.written.is_empty() {
        let written: Vec<_> = found.written.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "`meshctl inject` wrote the sidecars into {}, and no rollout takes them out: apply \
             their manifests as they were without\n",
            written.join(", ")
        ));
    }
    if found.rules > 0 {
        text.push_str(&format!("{} rules go with their kinds\n", found.rules));
    }
    text
}

#[cfg(test)]
mod tests {
    use mesh_install::ObjectName;

    use super::*;

    #[test]
    fn what_becomes_of_sidecars_is_said_for_each_way_they_came() {
        let object = ObjectName {
            kind: "Deployment".to_owned(),
            namespace: Some("shop".to_owned()),
            name: "cart".to_owned(),
        };
        let mut found = Found { in_use: vec!["shop".to_owned()], ..Found::default() };
        let text = warnings(&found, &Scope::Purge);
        assert!(text.contains("waits for the mesh's roots and pilots"), "{text}");
        assert!(text.contains("kubectl rollout restart") && !text.contains("wrote"), "{text}");
        found.written.push(object);
        let text = warnings(&found, &Scope::Mesh);
        assert!(text.contains("wrote the sidecars into Deployment shop/cart"), "{text}");
        assert_eq!(warnings(&Found::default(), &Scope::Purge), "");
    }
}
