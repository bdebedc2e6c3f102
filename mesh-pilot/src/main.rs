//! mesh-pilot, the control plane.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mesh_pilot::ca::{Ca, Home, Site};
use mesh_pilot::cli::{Cli, Platform};
use mesh_pilot::cluster;
use mesh_pilot::duties::Duties;
use mesh_pilot::platform::{FilesAdapter, KubernetesAdapter, MeshConfig, Reporting};
use mesh_pilot::run::{Listeners, run};
use mesh_pilot::webhook::{self, Cluster, Injection};
use mesh_runtime::telemetry;

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesh-pilot: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> anyhow::Result<()> {
    telemetry::init(&log_level(&cli.log_level))?;
    mesh_tls::install();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Work is short and seldom; more threads would only cost memory.
    let runtime = runtime.worker_threads(2).enable_all().build().context("cannot start tokio")?;
    runtime.block_on(async {
        let listeners = Listeners::bind(cli).await?;
        let mesh = MeshConfig {
            cluster_domain: cli.cluster_domain.clone(),
            trust_domain: cli.trust_domain.clone(),
            auto_mtls: cli.auto_mtls,
            root_namespace: cli.namespace.clone(),
        };
        let settings = webhook::follow(cli.inject_config.clone()).await;
        let injection = |cluster| Injection { settings, revision: cli.revision.clone(), cluster };
        match cli.platform {
            Platform::Files => {
                let folder = cli.config_dir.as_deref().context(
                    "--config-dir is missing: the folder that describes the mesh; or is it \
                     --platform kubernetes?",
                )?;
                let platform = FilesAdapter::start(folder, mesh).await?;
                let ca = start_ca(cli, Home::Machine(folder));
                run(listeners, platform, ca, injection(None), None).await
            }
            Platform::Kubernetes => {
                let client = cluster::client().await?;
                let (service, me) = (cli.service(), cli.pod_name());
                let duties =
                    Duties::new(client.clone(), &cli.namespace, &cli.revision, &service, &me);
                let (leadership, beside_istio) = (duties.leadership(), cli.beside_istio);
                let reporting = Reporting { leadership, me, beside_istio };
                let platform = KubernetesAdapter::start(&client, mesh, reporting);
                let cluster = Cluster::start(client.clone(), &cli.namespace);
                let ca = start_ca(cli, Home::Cluster(client));
                run(listeners, platform, ca, injection(Some(cluster)), Some(duties)).await
            }
        }
    })
}

/// Of a watch that fails we tell once, and kube-runtime at each attempt.
fn log_level(level: &str) -> String {
    match level {
        "info" | "warn" => format!("{level},kube_runtime=error"),
        other => other.to_owned(),
    }
}

async fn start_ca(cli: &Cli, home: Home<'_>) -> anyhow::Result<Ca> {
    let site = Site {
        home,
        namespace: &cli.namespace,
        service: &cli.service(),
        trust_domain: &cli.trust_domain,
        at: cli.secure_address,
    };
    Ca::start(&cli.ca, &site).await
}
