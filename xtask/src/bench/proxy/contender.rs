//! The proxies that are measured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::config;
use super::setup::{Door, Setup};
use super::upstreams::Upstreams;
use crate::bench::CORES;
use crate::paths::find_command;
use crate::process::{Place, Running, free_addresses};

/// Which proxy, and where its program is.
pub(super) enum Kind {
    Envoy(PathBuf),
    HaProxy,
    Nginx,
    MeshProxy(PathBuf),
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Envoy(_) => "envoy",
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx",
            Self::MeshProxy(_) => "mesh-proxy",
        }
    }
}

/// Where a proxy listens for what.
pub(super) type Doors = Vec<(Door, SocketAddr)>;

/// A running proxy.
pub(super) struct Contender {
    doors: Doors,
    process: Running,
}

impl Contender {
    /// Starts it with one worker on a core of its own.
    pub(super) fn start(
        kind: &Kind,
        setup: Setup,
        upstreams: &Upstreams,
        folder: &Path,
    ) -> Result<Self> {
        let (doors, admin) = doors(kind, setup, upstreams)?;
        let (program, text, flags): (PathBuf, String, &[&str]) = match kind {
            Kind::Envoy(path) => (
                path.clone(),
                config::bootstrap(setup, &doors, admin, upstreams, folder).to_string(),
                &["--disable-hot-restart", "--log-level", "warning", "--concurrency", "1"],
            ),
            Kind::MeshProxy(path) => (
                path.clone(),
                config::bootstrap(setup, &doors, admin, upstreams, folder).to_string(),
                &["--log-level", "warn", "--concurrency", "1"],
            ),
            Kind::HaProxy => {
                (installed("haproxy")?, config::haproxy(&doors, upstreams, folder)?, &["-db"])
            }
            Kind::Nginx => (installed("nginx")?, config::nginx(&doors, upstreams, folder), &[]),
        };
        let extension = if matches!(kind, Kind::HaProxy | Kind::Nginx) { "conf" } else { "json" };
        let file = folder.join(format!("{}.{extension}", kind.name()));
        std::fs::write(&file, text)?;
        let file = file.display().to_string();
        let to_read = if matches!(kind, Kind::HaProxy) { "-f" } else { "-c" };
        let args = [flags, &[to_read, &file]].concat();
        let log = format!("{}-proxy", kind.name());
        let mut process = Running::start(&log, Place::core(CORES[1]), &program, &args, folder)?;
        let ports: Vec<u16> = doors.iter().map(|(_, at)| at.port()).collect();
        process.listening(&ports).context(kind.name())?;
        Ok(Self { doors, process })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// # Errors
    /// When it has no such door.
    pub(super) fn address(&self, door: Door) -> Result<SocketAddr> {
        let found = self.doors.iter().find(|(has, _)| *has == door);
        found.map(|(_, at)| *at).with_context(|| format!("no door {door:?}"))
    }
}

/// Free addresses for the doors that this proxy can have, and one for its admin pages.
fn doors(kind: &Kind, setup: Setup, upstreams: &Upstreams) -> Result<(Doors, SocketAddr)> {
    let [admin, rest @ ..] = free_addresses::<8>()?;
    let can = |door: &&Door| !matches!(kind, Kind::Nginx) || !upstreams.speaks_http2(**door);
    let doors = setup.doors().iter().filter(can).copied().zip(rest).collect();
    Ok((doors, admin))
}

fn installed(name: &'static str) -> Result<PathBuf> {
    find_command(name).with_context(|| format!("{name} is not installed"))
}
