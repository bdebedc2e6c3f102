//! Application → sidecar → mutual TLS → sidecar → application, in two network namespaces
//! with the agent's iptables rules: a pair of mesh-proxy beside a pair of Envoy, and both
//! beside no mesh at all.

mod agent;
mod figures;
mod handshakes;
mod net;
mod pair;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::client::{self, Load, Workload};
use super::report::REFERENCE;
use super::upstream::nginx;
use super::{CORES, Output};
use crate::process::{Running, Usage};
use crate::{build, command, tools};
use figures::{DIRECT, Figures, MESH};
use net::{PROXY_UID, Pods, SERVER};
use pair::{Kind, Pair, ports};

/// The rate at which a mesh's delay is measured.
const PER_SECOND: u32 = 1000;

#[derive(clap::Args)]
pub(super) struct Args {
    /// How often each pair is measured; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one measurement takes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Take mesh-proxy and mesh-agent from this folder instead of building them with
    /// --release.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

/// What is needed for every measurement.
struct Bench {
    folder: TempDir,
    pods: Pods,
    load: PathBuf,
    seconds: u32,
    _nginx: Running,
}

/// Runs the measurement.
///
/// # Errors
/// When a tool or a right is missing, or a request fails.
pub(super) fn run(args: &Args) -> Result<()> {
    ensure!(command::is_root(), "network namespaces and iptables need root: type it with sudo");
    tools::install(tools::Purpose::Bench, args.yes)?;
    let load = build::build_packages(&["mesh-load"], false)?.join("mesh-load");
    let binaries = match &args.bin_dir {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => build::build_packages(&["mesh-proxy", "mesh-agent"], true)?,
    };
    let bench = Bench::new(args.seconds, &load, &binaries)?;
    let figures = bench.measure(args.rounds, &binaries)?;
    match args.output {
        Output::Table => print!("{}", figures.table(args.rounds)),
        Output::Json => println!("{:#}", figures.json(args.rounds)),
    }
    Ok(())
}

impl Bench {
    fn new(seconds: u32, load: &Path, binaries: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        // The proxies are another user.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        let load = copy(load, folder.path())?;
        let names = ["client", "server"];
        let mut certificates = std::process::Command::new(&load);
        certificates.args(["certificates", "--folder"]).arg(folder.path()).args(names);
        command::read(&mut certificates)?;
        for file in ["root.pem", "client.pem", "client.key", "server.pem", "server.key"] {
            chown(folder.path().join(file), Some(PROXY_UID), Some(PROXY_UID))?;
        }
        let direct = Workload::ALL.map(|workload| ports(workload).1);
        let pods = Pods::new(&binaries.join("mesh-agent"), &direct)?;
        let nginx = start_nginx(&pods, folder.path())?;
        Ok(Self { folder, pods, load, seconds, _nginx: nginx })
    }

    fn measure(&self, rounds: u32, binaries: &Path) -> Result<Figures> {
        let quiet = &["--disable-hot-restart", "--log-level", "warning"];
        let mesh = copy(&binaries.join("mesh-proxy"), self.folder.path())?;
        let envoy = copy(&tools::envoy()?, self.folder.path())?;
        let mut kinds = [
            Kind { name: REFERENCE, program: envoy, flags: quiet },
            Kind { name: MESH, program: mesh, flags: &["--log-level", "warn"] },
        ];
        let mut figures = Figures::default();
        for round in 1..=rounds {
            let direct = self.direct(&mut figures)?;
            for kind in &kinds {
                eprintln!("round {round} of {rounds}: {}", kind.name);
                let pair = Pair::start(kind, &self.pods, self.folder.path())?;
                for (workload, direct) in Workload::ALL.into_iter().zip(&direct) {
                    self.through(workload, kind.name, &pair, direct, &mut figures)
                        .with_context(|| format!("{} through {}", workload.name(), kind.name))?;
                }
                self.handshakes(kind.name, &pair, &mut figures).context(kind.name)?;
            }
            // So that none is always the first.
            kinds.rotate_left(1);
        }
        self.agent(binaries, &mut figures)?;
        Ok(figures)
    }

    /// Each workload at the fixed rate, past the sidecars.
    fn direct(&self, figures: &mut Figures) -> Result<Vec<Load>> {
        let mut all = Vec::new();
        for workload in Workload::ALL {
            let load = self.paced(workload, ports(workload).1)?;
            let part = workload.name();
            figures.add(part, "p50 ms at 1,000 a second", DIRECT, load.p50);
            figures.add(part, "p99 ms at 1,000 a second", DIRECT, load.p99);
            all.push(load);
        }
        Ok(all)
    }

    fn through(
        &self,
        workload: Workload,
        contender: &'static str,
        pair: &Pair,
        direct: &Load,
        figures: &mut Figures,
    ) -> Result<()> {
        let (port, _) = ports(workload);
        self.full(workload, port, 1)?;
        let mut add = |what, value| figures.add(workload.name(), what, contender, value);
        let paced = self.paced(workload, port)?;
        add("p50 ms at 1,000 a second", paced.p50);
        add("p99 ms at 1,000 a second", paced.p99);
        add("  added to p50", paced.p50 - direct.p50);
        add("  added to p99", paced.p99 - direct.p99);
        let before = pair.usage()?;
        let load = self.full(workload, port, self.seconds)?;
        let after = pair.usage()?;
        add("CPU µs a request", microseconds(&before, &after) / load.requests as f64);
        add("requests a second, full", load.per_second);
        add("p50 ms, full", load.p50);
        add("p99 ms, full", load.p99);
        add("RSS MB of both, full", megabytes(&after));
        Ok(())
    }

    fn handshakes(
        &self,
        contender: &'static str,
        pair: &Pair,
        figures: &mut Figures,
    ) -> Result<()> {
        let before = pair.server()?;
        let count = self.make_handshakes()?;
        let after = pair.server()?;
        let one = microseconds(&before, &after) / count as f64;
        let part = "mTLS handshakes, server side";
        figures.add(part, "CPU µs a handshake", contender, one);
        figures.add(part, "handshakes a second and core", contender, 1e6 / one);
        Ok(())
    }

    fn full(&self, workload: Workload, port: u16, seconds: u32) -> Result<Load> {
        let (address, place) = ((SERVER, port).into(), self.pods.client.place(CORES[0]));
        client::run(workload, &client::url(address), seconds, self.folder.path(), place)
    }

    fn paced(&self, workload: Workload, port: u16) -> Result<Load> {
        let (address, place) = ((SERVER, port).into(), self.pods.client.place(CORES[0]));
        client::paced(workload, address, PER_SECOND, self.seconds, self.folder.path(), place)
    }
}

fn start_nginx(pods: &Pods, folder: &Path) -> Result<Running> {
    let at = |workload: Workload| -> [SocketAddr; 2] {
        let (meshed, direct) = ports(workload);
        [meshed, direct].map(|port| (Ipv4Addr::UNSPECIFIED, port).into())
    };
    let place = pods.server.place(CORES[0]);
    nginx(place, &at(Workload::Http1), &at(Workload::Http2), folder)
}

/// A copy that every user can run.
fn copy(program: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join(program.file_name().context("a program's name")?);
    std::fs::copy(program, &to).with_context(|| program.display().to_string())?;
    Ok(to)
}

fn microseconds(before: &Usage, after: &Usage) -> f64 {
    after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
}

fn megabytes(usage: &Usage) -> f64 {
    usage.resident as f64 / f64::from(1 << 20)
}
