//! A Docker engine of the cluster's own.
//!
//! It lives in a network namespace of its own, so its bridges, firewall rules and forwarding
//! are not the machine's, and it has its own containerd, socket and data: another engine on
//! this machine is not touched. The way in is one address on one link; there is none out.

mod daemon;
mod namespace;
mod runtime;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use self::daemon::Daemon;
use crate::command;
use crate::docker::Docker;
use crate::paths::find_command;

pub(super) use self::namespace::INSIDE_ADDRESS as ADDRESS;
pub(super) use self::runtime::{lacks_sys_resource, run as run_runtime};

/// Gone after a restart of the machine, as the engine is.
const RUN: &str = "/run/mesh-cluster";

const CONTAINERD: &str = "--address=/run/mesh-cluster/containerd.sock";
const DOCKERD: &str = "--host=unix:///run/mesh-cluster/docker.sock";

/// The CRI would wait for a kubelet, and `opt` makes a folder in /opt.
const CONTAINERD_CONFIG: &str = r#"version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
"#;

/// Starts what does not run yet; images and containers are kept in `data`.
///
/// # Errors
/// When a part does not start; the message has the end of its log.
pub(super) fn up(data: &Path) -> Result<Docker> {
    for folder in [Path::new(RUN), data] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    namespace::up()?;
    start_containerd(data)?;
    start_dockerd(data)?;
    docker().context("docker: installed, but not found")
}

/// The engine, if it was brought up and runs.
pub(super) fn running() -> Option<Docker> {
    daemon(DOCKERD).pid()?;
    docker()
}

/// Whether something of it may be there, running or not.
pub(super) fn is_there() -> bool {
    Path::new(RUN).exists()
}

/// Stops it and takes its network away; its data stays.
///
/// # Errors
/// When a part does not end.
pub(super) fn down(data: &Path) -> Result<()> {
    daemon(DOCKERD).stop()?;
    daemon(CONTAINERD).stop()?;
    unmount(data)?;
    unmount(Path::new(RUN))?;
    namespace::down()?;
    if is_there() {
        fs::remove_dir_all(RUN).context(RUN)?;
    }
    Ok(())
}

/// What an engine that was killed has left mounted, the newest first.
fn unmount(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let targets = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for target in targets.filter(|target| Path::new(target).starts_with(folder)) {
        command::read(Command::new("umount").arg(target))?;
    }
    Ok(())
}

/// The process ids of the engine's two programs.
pub(super) fn pids() -> Vec<(&'static str, Option<u32>)> {
    [DOCKERD, CONTAINERD].map(|mark| (daemon(mark).program, daemon(mark).pid())).into()
}

/// The client of Debian's package, beside which there may be others in the PATH.
fn docker() -> Option<Docker> {
    let debian = PathBuf::from("/usr/bin/docker");
    let program = if debian.is_file() { Some(debian) } else { find_command("docker") };
    Some(Docker::at(program?, &Path::new(RUN).join("docker.sock")))
}

fn daemon(mark: &'static str) -> Daemon {
    let program = if mark == DOCKERD { "dockerd" } else { "containerd" };
    Daemon { program, mark, log: Path::new(RUN).join(format!("{program}.log")) }
}

fn start_containerd(data: &Path) -> Result<()> {
    let config = Path::new(RUN).join("containerd.toml");
    fs::write(&config, CONTAINERD_CONFIG).with_context(|| config.display().to_string())?;
    let socket = Path::new(RUN).join("containerd.sock");
    daemon(CONTAINERD).start(
        &[
            format!("--config={}", config.display()),
            format!("--root={}", data.join("containerd").display()),
            format!("--state={RUN}/containerd"),
        ],
        || std::os::unix::net::UnixStream::connect(&socket).is_ok(),
    )
}

fn start_dockerd(data: &Path) -> Result<()> {
    let config = Path::new(RUN).join("docker.json");
    let text = runtime::docker_config(data)?.to_string();
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    // It would not start over one that a killed engine has left.
    let pid_file = Path::new(RUN).join("docker.pid");
    if daemon(DOCKERD).pid().is_none() {
        let _ = fs::remove_file(&pid_file);
    }
    let docker = docker().context("docker: installed, but not found")?;
    daemon(DOCKERD).start(
        &[
            format!("--config-file={}", config.display()),
            format!("--containerd={RUN}/containerd.sock"),
            format!("--data-root={}", data.join("docker").display()),
            format!("--exec-root={RUN}/docker"),
            format!("--pidfile={}", pid_file.display()),
        ],
        || {
            let version = command::output(docker.command().args(["version"]));
            version.is_ok_and(|output| output.status.success())
        },
    )
}
