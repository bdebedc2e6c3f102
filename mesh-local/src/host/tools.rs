//! Running a tool to its end.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::{Context, Error, Result};

/// Where system programs are, also for users whose PATH lacks the `sbin` folders.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn exists(tool: &str) -> bool {
    std::env::split_paths(PATH).any(|folder| folder.join(tool).is_file())
}

/// A command with the system's PATH, that dies with the future that waits for it. In a
/// process group of its own, as the terminal's Ctrl-C is for the supervisor alone.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", PATH).kill_on_drop(true).stdin(Stdio::null()).process_group(0);
    command
}

/// `ip` with arguments; its standard output.
pub(super) async fn ip(arguments: &[&str]) -> Result<String> {
    run(arguments, "").await
}

/// Several `ip` commands in one process, in the namespace when one is named.
pub(super) async fn ip_batch(namespace: Option<&str>, lines: &[String]) -> Result<()> {
    let mut arguments = namespace.map(|name| vec!["-n", name]).unwrap_or_default();
    arguments.extend(["-batch", "-"]);
    run(&arguments, &(lines.join("\n") + "\n")).await.map(drop)
}

async fn run(arguments: &[&str], input: &str) -> Result<String> {
    let what = || format!("ip {} {}", arguments.join(" "), input.replace('\n', "; "));
    let mut command = command("ip");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(what)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await.context(what)?;
    }
    let output = child.wait_with_output().await.context(what)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(Error::failed(format!("{}: {message}", what())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
