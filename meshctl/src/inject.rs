//! `meshctl inject`: what a cluster's webhook does, on files.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use mesh_inject::{Config, Outcome, inject_yaml};

use crate::{input, output};

#[derive(Debug, Args)]
pub(crate) struct InjectArgs {
    /// File of Kubernetes YAML; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

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

pub(crate) fn run(args: &InjectArgs) -> Result<()> {
    let mut config = Config::default();
    config.image = args.image.clone().unwrap_or(config.image);
    config.discovery_address = args.discovery_address.clone().unwrap_or(config.discovery_address);
    config.ca_address = args.ca_address.clone();
    config.token_audience = args.token_audience.clone().unwrap_or(config.token_audience);
    let mut texts = Vec::new();
    for file in &args.files {
        let injected = inject_yaml(&input::read(file)?, &config)
            .with_context(|| file.display().to_string())?;
        for pod in injected.pods {
            if let Outcome::LeftAlone(reason) = &pod.outcome {
                eprintln!("{}: no sidecar: {reason}", pod.object);
            }
            if !pod.ignored.is_empty() {
                eprintln!("{}: not honoured: {}", pod.object, pod.ignored.join(", "));
            }
        }
        texts.push(injected.text);
    }
    // Nothing is printed unless every file is right.
    output::write(&texts.join("---\n"));
    Ok(())
}
