//! `meshctl local exec`.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use mesh_local::Client;

use crate::cli::Global;

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Pod, the beginning of its name, or deployment/NAME
    pod: String,
    /// Command to run, as root, with the pod's network and names
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

pub(crate) async fn run(global: &Global, args: &ExecArgs) -> Result<()> {
    let report = Client::new(global.state()).report().await?;
    let pod = super::find::pod(&report, &global.namespace, &args.pod)?;
    let Some(sandbox) = pod.sandbox_pid else {
        bail!("pod {} has no network yet; try again in a moment", pod.name);
    };
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        bail!("to enter a pod's network needs root: run it with sudo");
    }
    let words = mesh_local::enter(sandbox);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(&args.command);
    // From here on this process is the command, with its exit code.
    Err(command.exec()).with_context(|| words[0].clone())
}
