//! `meshctl route`: a service's traffic, split between its versions.

use anyhow::Result;
use clap::{Args, Subcommand};
use mesh_rules::Surroundings;
use mesh_rules::route::{self, ExistingRule, KnownService, Plan};
use serde::Serialize;

use crate::cli::Global;
use crate::mesh::{Change, Mesh};
use crate::output::{self, Format};
use crate::rules::outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Send a service's requests to its versions by weights, such as v1=50 v3=50
    Set(SetArgs),
    /// Show the routes that are in force
    Get(GetArgs),
    /// Undo `route set`
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Service, such as reviews or reviews.default
    service: String,
    /// Version and percentage; together 100. One version alone gets everything
    #[arg(required = true, value_name = "VERSION=PERCENT")]
    weights: Vec<String>,
    /// Do not wait for the proxies
    #[arg(long)]
    no_wait: bool,
    /// Check, and print the rules instead of applying them
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Only this service
    service: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Service, such as reviews or reviews.default
    service: String,
    /// Do not wait for the proxies
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(global: &Global, command: RouteCommand) -> Result<()> {
    let mut mesh = Mesh::connect(global).await?;
    let services = mesh.services().await?;
    match command {
        RouteCommand::Set(args) => {
            let rules = mesh.kept().await?;
            set(&mut mesh, global, &services, &rules, args).await
        }
        RouteCommand::Get(args) => get(global, &services, &mesh.rules().await?, &args),
        RouteCommand::Delete(args) => {
            let rules = mesh.kept().await?;
            let service = route::find_service(&args.service, &global.namespace, &services)?;
            let plan = route::delete(service, &rules)?;
            let done = format!("{}: no route", args.service);
            carry_out(&mut mesh, global, plan, &done, args.no_wait).await
        }
    }
}

async fn set(
    mesh: &mut Mesh,
    global: &Global,
    services: &[KnownService],
    rules: &[ExistingRule],
    args: SetArgs,
) -> Result<()> {
    let weights = route::parse_weights(&args.weights)?;
    let service = route::find_service(&args.service, &global.namespace, services)?;
    let plan = route::set(service, rules, &weights)?;
    if args.dry_run {
        let yaml = text(&plan);
        mesh.check(yaml.clone(), &global.namespace).await?;
        output::write(&yaml);
        return Ok(());
    }
    let split: Vec<_> = weights.iter().map(|w| format!("{} {} %", w.version, w.percent)).collect();
    let done = format!("{}: {}", args.service, split.join(", "));
    carry_out(mesh, global, plan, &done, args.no_wait).await
}

async fn carry_out(
    mesh: &mut Mesh,
    global: &Global,
    plan: Plan,
    done: &str,
    no_wait: bool,
) -> Result<()> {
    let mut changes = Vec::new();
    if !plan.apply.is_empty() {
        changes.push(mesh.apply(text(&plan), &global.namespace).await?);
    }
    for key in plan.delete {
        changes.push(mesh.delete(key).await?);
    }
    let line = match changes.into_iter().reduce(Change::and) {
        Some(change) if !no_wait => {
            format!("{done} — {}\n", outcome(&mesh.rollout(change).await?)?)
        }
        _ => format!("{done}\n"),
    };
    output::write(&line);
    Ok(())
}

fn text(plan: &Plan) -> String {
    let documents: Vec<_> = plan.apply.iter().map(|rule| rule.yaml.trim_end()).collect();
    documents.join("\n---\n") + "\n"
}

/// A route as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    namespace: String,
    service: String,
    matches: String,
    destinations: String,
}

fn get(
    global: &Global,
    services: &[KnownService],
    rules: &[ExistingRule],
    args: &GetArgs,
) -> Result<()> {
    let mut rows = rows(global, services, rules);
    if let Some(name) = &args.service {
        let service = route::find_service(name, &global.namespace, services)?;
        let qualified = format!("{}.{}", service.name, service.namespace);
        rows.retain(|row| {
            row.service == qualified
                || (row.service == service.name && row.namespace == service.namespace)
        });
    }
    output::print(args.output, &rows, || {
        if rows.is_empty() {
            return "no routes: every service's requests go to all of its versions\n".to_owned();
        }
        let cells = rows.iter().map(|row| {
            let Row { namespace, service, matches, destinations } = row;
            [namespace, service, matches, destinations].map(String::clone).to_vec()
        });
        output::table(&["NAMESPACE", "SERVICE", "REQUESTS", "GO TO"], &cells.collect::<Vec<_>>())
    })
}

/// A rule of a control plane that knows more than we do is told of, and left out.
fn rows(global: &Global, services: &[KnownService], rules: &[ExistingRule]) -> Vec<Row> {
    let mut parsed = Vec::new();
    let root_namespace = &global.cluster.mesh_namespace;
    let mut surroundings = Surroundings { root_namespace, ..Surroundings::default() };
    // Services are named by those who know it.
    if let Some(service) = services.first() {
        surroundings.cluster_domain = service.cluster_domain();
    }
    for rule in rules {
        match mesh_rules::parse(&rule.key.to_string(), &rule.yaml, surroundings) {
            Ok(rules) => parsed.extend(rules),
            Err(problems) => problems.iter().for_each(|problem| eprintln!("left out: {problem}")),
        }
    }
    let rows = route::get(&parsed).into_iter().map(|row| Row {
        namespace: row.namespace,
        service: row.service,
        matches: row.matches,
        destinations: row.destinations,
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mesh_rules::RuleKey;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_domain_of_the_cluster_is_that_of_its_services() {
        let global = Cli::parse_from(["meshctl", "proxy-status"]).global;
        let hostname = "reviews.shop.svc.a.example".to_owned();
        let service = KnownService {
            name: "reviews".to_owned(),
            namespace: "shop".to_owned(),
            hostname: hostname.clone(),
            versions: Vec::new(),
            aliases: Vec::new(),
        };
        let key = RuleKey {
            kind: "VirtualService".to_owned(),
            namespace: "shop".to_owned(),
            name: "reviews".to_owned(),
        };
        let yaml = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: reviews, namespace: shop}}\n\
             spec: {{hosts: [reviews], http: [{{route: [{{destination: {{host: {hostname}}}}}]}}]}}\n"
        );
        let rules = [ExistingRule { key, yaml }];
        let to = |services: &[KnownService]| rows(&global, services, &rules).remove(0).destinations;
        assert_eq!(to(&[service]), "all versions 100%");
        assert_eq!(to(&[]), "reviews.shop.svc.a.example all versions 100%");
    }
}
