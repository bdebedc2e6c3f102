//! `meshctl local up`: the supervisor in the foreground.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use mesh_local::{Document, Images, Manifests, PodOptions, Publish, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::progress::Progress;
use crate::cli::Global;
use crate::mesh::Mesh;
use crate::rules;

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// File of Kubernetes YAML; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// File that says which command runs in the place of each image
    #[arg(long, value_name = "FILE")]
    images: Option<PathBuf>,

    /// Add sidecars to pods that have none; =false runs the files as they are. A pod without a
    /// sidecar reaches pods by address, and no service
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    inject: bool,

    /// Port of 127.0.0.1 that leads to a service, such as 9080:productpage:9080
    #[arg(long, value_name = "HOSTPORT:SERVICE:PORT")]
    publish: Vec<Publish>,

    /// Folder of mesh-pilot, mesh-agent, mesh-proxy and the images' commands
    /// [default: the folder of meshctl]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,

    /// Another proxy for a deployment's or pod's sidecars, such as reviews-v1=/usr/bin/envoy
    #[arg(long, value_name = "NAME=PATH", value_parser = proxy_binary)]
    proxy_binary: Vec<(String, PathBuf)>,

    /// How long certificates are valid, such as 24h; they are renewed at two thirds of that
    #[arg(long, value_name = "TIME")]
    workload_cert_ttl: Option<String>,

    /// User id of containers that do not ask for one
    #[arg(long, value_name = "UID", default_value_t = 65532)]
    user: u32,
}

fn proxy_binary(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            let path = std::path::absolute(path).map_err(|error| error.to_string())?;
            Ok((name.to_owned(), path))
        }
        _ => Err("expected NAME=PATH, for instance reviews-v1=/usr/bin/envoy".to_owned()),
    }
}

pub(crate) async fn run(global: &Global, args: UpArgs) -> Result<()> {
    let start = Instant::now();
    // From here on a signal is an orderly end, whatever is going on.
    let mut signals = Signals::new()?;
    let manifests = Manifests::read(&args.files)?;
    let rules = manifests.rules.clone();
    // Before anything is started.
    rules::check(&rules, &global.namespace)?;
    let (events, received) = mpsc::unbounded_channel();
    let settings = settings(global, args)?;
    let mesh = mesh_local::Mesh::start(settings, manifests, events).await?;
    let progress = Progress::start(mesh.report().pods.len(), received);
    let end = tokio::select! {
        end = serve(global, &mesh, &rules, &progress, start) => end,
        () = mesh.down_requested() => Ok(()),
        () = signals.next() => Ok(()),
    };
    if let Err(error) = &end {
        progress.say(&format!("{error:#}"));
    }
    progress.say("stopping");
    tokio::select! {
        stopped = mesh.stop() => stopped?,
        () = signals.next() => bail!("ended at once; `meshctl local down` clears what is left"),
    }
    progress.say("stopped");
    end.map_err(|_| anyhow::anyhow!("the mesh did not come up"))
}

/// Waits until everything is there, says so, and then for ever.
async fn serve(
    global: &Global,
    mesh: &Arc<mesh_local::Mesh>,
    documents: &[Document],
    progress: &Progress,
    start: Instant,
) -> Result<()> {
    mesh.wait_ready().await?;
    progress.pods_ready().await;
    if !documents.is_empty() {
        let mut pilot = Mesh::local(global).await?;
        progress.say(&rules::apply(&mut pilot, documents, &global.namespace).await?);
    }
    for (address, service) in mesh.report().published {
        progress.say(&format!("http://{address} leads to {service}"));
    }
    progress.say(&format!("ready after {:.1} s; Ctrl-C stops", start.elapsed().as_secs_f64()));
    std::future::pending().await
}

fn settings(global: &Global, args: UpArgs) -> Result<Settings> {
    let bin_dir = match args.bin_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => {
            let own = std::env::current_exe().context("meshctl's own path; use --bin-dir")?;
            own.parent().map(PathBuf::from).unwrap_or_default()
        }
    };
    if args.user == 0 || args.user == 1337 {
        bail!("--user {}: 0 is root and 1337 is the proxy's; choose another", args.user);
    }
    Ok(Settings {
        state: global.state(),
        pods: PodOptions {
            inject: args.inject,
            proxy_binaries: BTreeMap::from_iter(args.proxy_binary),
            images: args.images.as_deref().map(Images::read).transpose()?.unwrap_or_default(),
            bin_dir,
            user: args.user,
        },
        publish: args.publish,
        workload_cert_ttl: args.workload_cert_ttl,
    })
}

/// SIGINT, SIGTERM and a terminal that goes away.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
