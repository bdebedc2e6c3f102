//! `meshctl inject`: what a cluster's webhook does, on files.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use mesh_inject::{Config, KubernetesVersion, PodReport, inject_yaml};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::{cluster, input, output};

#[derive(Debug, Args)]
pub(crate) struct InjectArgs {
    /// File of Kubernetes YAML or JSON, or a folder of such; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,

    /// How to print; as YAML what gets no sidecar comes out as it was written
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,

    /// File of what sidecars are made of, in YAML, in the place of a cluster's settings
    #[arg(long, value_name = "FILE")]
    inject_config: Option<PathBuf>,

    /// Ask no cluster: sidecars are made as by an installation that was given no settings
    #[arg(long)]
    offline: bool,

    /// Control plane that the sidecars shall belong to, of several of one cluster
    #[arg(long, value_name = "NAME", default_value = mesh_install::chart::REVISION)]
    revision: String,

    /// Oldest version of the API server and the nodes, such as 1.28, where nobody has decided
    /// whether sidecars are native ones; before 1.29 they are plain containers
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<KubernetesVersion>,

    /// Image of the sidecar
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// Control plane that the sidecars ask
    #[arg(long, value_name = "HOST:PORT")]
    discovery_address: Option<String>,

    /// Certificate authority that the sidecars ask, if it is not the control plane; "none" for
    /// sidecars without an identity
    #[arg(long, value_name = "HOST:PORT")]
    ca_address: Option<String>,

    /// Audience of the token with which sidecars prove who they are
    #[arg(long, value_name = "NAME")]
    token_audience: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    #[default]
    Yaml,
    Json,
}

pub(crate) async fn run(global: &Global, args: &InjectArgs) -> Result<()> {
    let config = config(global, args).await?;
    let (mut texts, mut pods) = (Vec::new(), 0);
    for file in files(&args.files)? {
        let injected = inject_yaml(&input::read(&file)?, &config)
            .with_context(|| file.display().to_string())?;
        pods += injected.pods.len();
        for line in injected.pods.iter().flat_map(PodReport::lines) {
            eprintln!("{line}");
        }
        if !injected.text.trim().is_empty() {
            texts.push(injected.text);
        }
    }
    if pods == 0 {
        eprintln!("there is nothing with pods in it, and so nothing to inject");
    }
    // Nothing is printed unless every file is right.
    let text = texts.join("---\n");
    output::write(&match args.output {
        Form::Yaml => text,
        Form::Json => as_json(&text)?,
    });
    Ok(())
}

/// The command line has the last word.
async fn config(global: &Global, args: &InjectArgs) -> Result<Config> {
    let mut config = match &args.inject_config {
        Some(file) => Config::from_yaml(&input::read(file)?)
            .with_context(|| format!("{} (--inject-config)", file.display()))?,
        None => settings(global, args).await?,
    };
    config.native_sidecar = config.native_sidecar.on(args.kubernetes_version);
    config.image = args.image.clone().unwrap_or(config.image);
    config.discovery_address = args.discovery_address.clone().unwrap_or(config.discovery_address);
    config.ca_address = args.ca_address.clone().or(config.ca_address);
    config.token_audience = args.token_audience.clone().unwrap_or(config.token_audience);
    Ok(config)
}

/// As the cluster's webhook has them. A cluster that nobody has named need not be there.
async fn settings(global: &Global, args: &InjectArgs) -> Result<Config> {
    let (namespace, revision) = (&global.cluster.mesh_namespace, &args.revision);
    let named = global.cluster.is_named();
    if !args.offline && (named || cluster::has_default()) {
        match of_cluster(global, namespace, revision).await {
            Ok(config) => return Ok(config),
            Err(error) if named => return Err(error),
            Err(error) => eprintln!(
                "the settings of the cluster are not known, and the defaults taken (--offline \
                 when that is meant): {error:#}"
            ),
        }
    }
    Ok(mesh_install::default_settings(namespace, revision)?)
}

async fn of_cluster(global: &Global, namespace: &str, revision: &str) -> Result<Config> {
    let client = global.cluster.connect().await?;
    Ok(mesh_install::settings_of_cluster(&client, namespace, revision).await?)
}

/// The files that are meant: of a folder those that kubectl would take, by their names.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let paths: Result<Vec<_>, _> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut of_folder = paths.with_context(|| path.display().to_string())?;
        of_folder.retain(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            path.is_file() && extension.is_some_and(|end| ["yaml", "yml", "json"].contains(&end))
        });
        if of_folder.is_empty() {
            bail!("{}: no .yaml, .yml or .json file is in this folder", path.display());
        }
        of_folder.sort();
        files.extend(of_folder);
    }
    Ok(files)
}

/// One object, or several as kubectl has them: a List.
fn as_json(text: &str) -> Result<String> {
    let documents = mesh_yaml::documents(text)?.into_iter().map(|document| document.value);
    let mut objects: Vec<Value> = documents.filter(|value| !value.is_null()).collect();
    let object = match objects.len() {
        1 => objects.remove(0),
        _ => json!({"apiVersion": "v1", "kind": "List", "items": objects}),
    };
    Ok(serde_json::to_string_pretty(&object)? + "\n")
}
