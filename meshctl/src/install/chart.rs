//! What is to be installed, as it is typed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use kube::Client;
use mesh_install::Known;
use mesh_install::chart::{self, Release};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::{cluster, input};

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

    /// Name of a control plane beside others, such as canary; it comes without a gateway and, but
    /// in a manifest, begins with the values of the mesh that is there
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

    /// `release`, as it was typed, over the values that the revision was installed with, or when
    /// it is new that which it is put beside.
    pub(super) async fn over_known(&self, client: &Client, release: Release) -> Result<Release> {
        let revision = self.revision();
        let known = mesh_install::remembered(client, &release.namespace, revision).await;
        let Some(Known { values, of }) = known.map_err(cluster::explain)? else {
            return Ok(release);
        };
        if of != revision {
            eprintln!("the revision {revision} is new, and starts with the values of {of}");
        }
        let mut release = release;
        release.values.insert(self.below_typed(), values);
        Ok(release)
    }

    /// Where values have their place in [`ChartArgs::release`] that everything typed wins over.
    fn below_typed(&self) -> usize {
        1 + usize::from(self.revision.is_some())
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

#[cfg(test)]
mod tests {
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    /// An API server with one revision, installed with these values.
    fn cluster(revision: &str, values: &Value) -> Client {
        let metadata = json!({"name": "mesh-pilot", "labels": {"sidecar.mesh/rev": revision},
            "annotations": {"sidecar.mesh/values": values.to_string()}});
        let list = json!({"metadata": {}, "items": [{"metadata": metadata}]}).to_string();
        let answer = move |_: http::Request<Body>| {
            let body = Body::from(list.clone().into_bytes());
            async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
        };
        Client::new(service_fn(answer), "default")
    }

    #[tokio::test]
    async fn a_revision_begins_with_what_the_mesh_was_installed_with() {
        let args = ChartArgs {
            profile: "default".to_owned(),
            values: Vec::new(),
            set: vec!["hub=typed".to_owned()],
            revision: Some("canary".to_owned()),
        };
        let typed = || Release {
            namespace: chart::NAMESPACE.to_owned(),
            values: vec![json!({}), json!({"revision": "canary"}), json!({"hub": "typed"})],
        };
        let installed = json!({"hub": "old", "trustDomain": "old.example", "revision": "default"});
        let client = cluster("default", &installed);
        let values = chart::values(&args.over_known(&client, typed()).await.unwrap()).unwrap();
        let found = ["trustDomain", "hub", "revision"].map(|name| values[name].clone());
        assert_eq!(found, ["old.example", "typed", "canary"]);

        let client = cluster("canary", &json!({"trustDomain": "own.example"}));
        let values = chart::values(&args.over_known(&client, typed()).await.unwrap()).unwrap();
        assert_eq!(values["trustDomain"], "own.example");
    }
}
