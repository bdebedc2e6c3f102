//! `meshctl local apply`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use mesh_local::{Applied, Client, Document, Manifests};

use crate::cli::Global;
use crate::mesh::Mesh;
use crate::{output, rules};

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// File of Kubernetes YAML; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: &ApplyArgs) -> Result<()> {
    let mut documents = Vec::new();
    for file in &args.files {
        documents.extend(Document::read(file)?);
    }
    // Refused as a whole before anything is changed.
    Manifests::from_documents(documents.clone())?;
    let (rules, workloads): (Vec<_>, Vec<_>) = documents.into_iter().partition(Document::is_rule);
    rules::check(&rules, &global.namespace)?;
    if !workloads.is_empty() {
        let applied = Client::new(global.state()).apply(workloads).await?;
        output::write(&summary(&applied));
    }
    // After the workloads, as rules name their services and versions.
    if !rules.is_empty() {
        let mut mesh = Mesh::local(global).await?;
        output::write(&(rules::apply(&mut mesh, &rules, &global.namespace).await? + "\n"));
    }
    Ok(())
}

fn summary(applied: &Applied) -> String {
    let started = applied.started.iter().map(|pod| format!("started {pod}\n"));
    let stopped = applied.stopped.iter().map(|pod| format!("stopped {pod}\n"));
    let text: String = started.chain(stopped).collect();
    if text.is_empty() { "no pod had to change\n".to_owned() } else { text }
}
