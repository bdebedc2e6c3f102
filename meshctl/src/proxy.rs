//! `meshctl proxy`: one sidecar.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncRead, AsyncReadExt};

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
    let found = pods.get(pod).await.map_err(explain)?;
    let Some(sidecar) = mesh_install::sidecar(&found) else {
        bail!("pod {namespace}/{pod} has no sidecar of the mesh; `meshctl inject` adds one");
    };
    let command = ["mesh-agent", "restart", "--config-dir", CONFIG_DIR];
    let said = exec(&pods, pod, &sidecar.name, &command).await?;
    output::write(&format!("{namespace}/{pod}: {said}"));
    Ok(())
}

/// What a command in a container writes; an error when it fails, with its words.
async fn exec(pods: &Api<Pod>, pod: &str, container: &str, command: &[&str]) -> Result<String> {
    let params = AttachParams::default().container(container).stdout(true).stderr(true);
    let mut process = pods.exec(pod, command.iter().copied(), &params).await.map_err(explain)?;
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let (out, err) = tokio::try_join!(read(stdout), read(stderr))?;
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

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        stream.read_to_string(&mut text).await?;
    }
    Ok(text)
}
