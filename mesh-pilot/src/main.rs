//! mesh-pilot, the control plane.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mesh_pilot::ca::Ca;
use mesh_pilot::cli::Cli;
use mesh_pilot::platform::{FilesAdapter, MeshConfig};
use mesh_pilot::run::{Listeners, run};
use mesh_pilot::webhook;
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
    telemetry::init(&cli.log_level)?;
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
        };
        let platform = FilesAdapter::start(&cli.config_dir, mesh).await?;
        let at = cli.secure_address;
        let ca = Ca::start(&cli.ca, &cli.config_dir, &cli.trust_domain, at).await?;
        let injection = webhook::follow(cli.inject_config.clone()).await?;
        run(listeners, platform, ca, injection).await
    })
}
