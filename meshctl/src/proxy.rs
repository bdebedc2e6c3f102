//! `meshctl proxy`: one sidecar.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::AsyncReadExt;

use crate::cli::Global;
use crate::cluster::explain;
use crate::output;

/// Where injection has the agent keep what its local API is found by.
const CONFIG_DIR: &str = "/etc/mesh/proxy";

#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Replace a pod's proxy by a new process that takes its connections over
    Restart(RestartArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Pod, in the namespace of -n, or NAMESPACE/POD
    pod: String,
}

pub(crate) async fn run(global: &Global, command: ProxyCommand) -> Result<()> {
    match command {
        ProxyCommand::Restart(args) => restart(global, &args).await,
    }
}

async fn restart(global: &Global, args: &RestartArgs) -> Result<()> {
    let (namespace, pod) = args.pod.split_once('/').unwrap_or((&global.namespace, &args.pod));
    let pods: Api<Pod> = Api::namespaced(global.cluster.connect().await?, namespace);
    let container = sidecar(&pods.get(pod).await.map_err(explain)?);
    let Some(container) = container else {
        bail!("pod {namespace}/{pod} has no sidecar of the mesh; `meshctl inject` adds one");
    };
    let command = ["mesh-agent", "restart", "--config-dir", CONFIG_DIR];
    let said = exec(&pods, pod, &container, &command).await?;
    output::write(&format!("{namespace}/{pod}: {said}"));
    Ok(())
}

/// The container that the agent runs in: plain, or an init container that stays.
fn sidecar(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.find(|one| one.name == mesh_inject::PROXY_CONTAINER).map(|one| one.name.clone())
}

/// What a command in a container writes; an error when it fails, with its words.
async fn exec(pods: &Api<Pod>, pod: &str, container: &str, command: &[&str]) -> Result<String> {
    let params = AttachParams::default().container(container).stdout(true).stderr(true);
    let mut process = pods.exec(pod, command.iter().copied(), &params).await.map_err(explain)?;
    let (mut out, mut err) = (String::new(), String::new());
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let status = process.take_status();
    let read_out = async {
        match stdout {
            Some(mut stdout) => stdout.read_to_string(&mut out).await.map(drop),
            None => Ok(()),
        }
    };
    let read_err = async {
        match stderr {
            Some(mut stderr) => stderr.read_to_string(&mut err).await.map(drop),
            None => Ok(()),
        }
    };
    tokio::try_join!(read_out, read_err)?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let failed = status.filter(|status| status.status.as_deref() != Some("Success"));
    match failed {
        None => Ok(out),
        Some(status) => {
            let said = format!("{out}{err}");
            let why = status.message.unwrap_or_default();
            bail!("{}", if said.trim().is_empty() { why } else { said.trim().to_owned() })
        }
    }
}
