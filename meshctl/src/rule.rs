//! `meshctl rule`: every rule that is in force, of whichever kind.

use anyhow::Result;
use clap::{Args, Subcommand};
use mesh_rules::RuleKey;
use mesh_rules::route::ExistingRule;
use serde::Serialize;

use crate::cli::Global;
use crate::mesh::Mesh;
use crate::output::{self, Format};
use crate::rules::outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// List the rules that are in force
    Get(GetArgs),
    /// Remove a rule that `local apply` or `route set` made
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Only this kind, such as PeerAuthentication
    kind: Option<String>,
    /// How to print; JSON and YAML have each rule as it was written
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Its kind, such as PeerAuthentication
    kind: String,
    /// Its name, or NAMESPACE/NAME
    name: String,
    /// Do not wait for the proxies
    #[arg(long)]
    no_wait: bool,
}

/// A rule as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    kind: String,
    namespace: String,
    name: String,
    yaml: String,
}

pub(crate) async fn run(global: &Global, command: RuleCommand) -> Result<()> {
    let mut mesh = Mesh::connect(global).await?;
    match command {
        RuleCommand::Get(args) => get(mesh.rules().await?, &args),
        RuleCommand::Delete(args) => delete(&mut mesh, global, args).await,
    }
}

fn get(mut rules: Vec<ExistingRule>, args: &GetArgs) -> Result<()> {
    rules.retain(|rule| args.kind.as_ref().is_none_or(|kind| rule.key.kind == *kind));
    let rows = rules.into_iter().map(|ExistingRule { key, yaml }| {
        let RuleKey { kind, namespace, name } = key;
        Row { kind, namespace, name, yaml }
    });
    let rows: Vec<Row> = rows.collect();
    output::print(args.output, &rows, || {
        if rows.is_empty() {
            return "no rules\n".to_owned();
        }
        let cells =
            rows.iter().map(|row| vec![row.kind.clone(), row.namespace.clone(), row.name.clone()]);
        output::table(&["KIND", "NAMESPACE", "NAME"], &cells.collect::<Vec<_>>())
    })
}

async fn delete(mesh: &mut Mesh, global: &Global, args: DeleteArgs) -> Result<()> {
    let (namespace, name) = args.name.split_once('/').unwrap_or((&global.namespace, &args.name));
    let key = RuleKey { kind: args.kind, namespace: namespace.to_owned(), name: name.to_owned() };
    let done = format!("{key} is gone");
    let change = mesh.delete_unneeded(key).await?;
    let line = match args.no_wait {
        true => format!("{done}\n"),
        false => format!("{done} — {}\n", outcome(&mesh.rollout(change).await?)?),
    };
    output::write(&line);
    Ok(())
}
