//! What is to be installed, as it is typed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use mesh_install::chart::{self, Release};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::input;

/// Values of the chart. Later ones win: the profile, files, then --set.
#[derive(Debug, Args)]
#[command(next_help_heading = "Values")]
pub(crate) struct ChartArgs {
    /// Values for a purpose: default, demo, or minimal
    #[arg(long, value_name = "NAME", default_value = "default")]
    profile: String,

    /// File of values; - is standard input
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,

    /// A value, such as pilot.replicas=3; several with commas
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,

    /// Name of a control plane beside others, such as canary; it comes without a gateway
    #[arg(long, value_name = "NAME")]
    revision: Option<String>,
}

impl ChartArgs {
    /// Which control plane is meant.
    pub(super) fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(chart::REVISION)
    }

    /// Whether it was said, which means that whoever is elsewhere is to come.
    pub(super) fn names_revision(&self) -> bool {
        self.revision.is_some()
    }

    /// Where values have their place in [`ChartArgs::release`] that everything typed wins over.
    pub(super) fn below_typed(&self) -> usize {
        1 + usize::from(self.revision.is_some())
    }

    /// Reads the files; whether the values are right is seen when they are rendered.
    pub(crate) fn release(&self, global: &Global) -> Result<Release> {
        // Helm makes the namespace by itself; we are not Helm.
        let mut values = vec![json!({"createNamespace": true}), chart::profile(&self.profile)?];
        for file in &self.values {
            values.push(read(file)?);
        }
        for text in &self.set {
            values.push(chart::parse_set(text)?);
        }
        if let Some(revision) = &self.revision {
            // The gateway is one, and stays with who has it, unless somebody says otherwise.
            let is_first = revision == chart::REVISION;
            values
                .insert(1, json!({"revision": revision, "ingressGateway": {"enabled": is_first}}));
            values.push(json!({"revision": revision}));
        }
        Ok(Release { namespace: global.cluster.mesh_namespace.clone(), values })
    }
}

fn read(file: &Path) -> Result<Value> {
    let value: Value =
        mesh_yaml::read(&input::read(file)?).with_context(|| file.display().to_string())?;
    anyhow::ensure!(
        value.is_object() || value.is_null(),
        "{}: expected a map of values, as in deploy/chart/values.yaml",
        file.display()
    );
    Ok(value)
}
