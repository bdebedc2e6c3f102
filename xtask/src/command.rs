//! Running other programs, with errors that say which one failed and how.

use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use crate::paths;

/// Runs it with this program's own input and output.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    eprintln!("$ {text}");
    let status = command.status().with_context(|| format!("cannot start {text}"))?;
    ensure!(status.success(), "{text}: {status}");
    Ok(())
}

/// Runs it and takes what it prints.
///
/// # Errors
/// As [`run`]; the message has what it said on stderr.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let text = text(command);
    let output = output(command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}: {}\n{}", output.status, said.trim_end());
    String::from_utf8(output.stdout).with_context(|| format!("{text} printed no UTF-8"))
}

/// Runs it and takes what it prints and how it ended.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let text = text(command);
    command.output().with_context(|| format!("cannot start {text}"))
}

/// As a user would type it.
pub(crate) fn text(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// cargo in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::root());
    // What `cargo run` sets for xtask is not meant for the crates that are built now.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&key);
        }
    }
    cargo
}

/// Whether this program runs as root.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

/// `program` as root: itself when this is root, else through sudo.
///
/// # Errors
/// When this is not root and there is no sudo.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    let program = program.as_ref();
    if is_root() {
        return Ok(Command::new(program));
    }
    if paths::find_command("sudo").is_none() {
        bail!(
            "{} needs root (network namespaces and iptables), this is not root, and there is \
             no sudo: run it as root, or install sudo",
            program.display()
        );
    }
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    Ok(sudo)
}

/// Whether nobody is there to answer, and nothing may be left out: the environment has
/// `CI=true`.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
