//! Which functions of agent and proxy run beside a workload, once they have started. They are
//! linked beside each other (`xtask/layout/build.rs`): the kernel maps 64 KB around each that is
//! called, so scattered over all of the program they made nearly all of it resident.

mod functions;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bookinfo::{mesh, traffic::Load};
use crate::local_mesh::{LocalMesh, stop_signals};
use crate::{build, command, paths};
use functions::Functions;
use trace::Trace;

const PROGRAMS: [&str; 2] = ["mesh-agent", "mesh-proxy"];

/// Until what only the start runs is over.
const SETTLED: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take the mesh's binaries from this folder instead of building them with --release.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// How long bookinfo's sidecars are watched.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(30..))]
    seconds: u64,
}

/// Watches the sidecars of bookinfo under load, while rules change, and writes the lists.
///
/// # Errors
/// When this is not root, or the mesh does not come up.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(command::is_root(), "to watch other users' processes needs root: type it with sudo");
    let folder = match &args.bin_dir {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => build::build(true)?,
    };
    let stop = stop_signals()?;
    let all: Result<Vec<_>> =
        PROGRAMS.iter().map(|name| Functions::of(&folder.join(name))).collect();
    let mut mesh = mesh::up(&folder, None)?;
    mesh::wait_for_page(&mut mesh, &stop)?;
    mesh.wait_for_pods(&stop)?;
    std::thread::sleep(SETTLED);
    let trace = Trace::start(all?)?;
    work(&mesh, &trace, Duration::from_secs(args.seconds))?;
    for functions in trace.stop()? {
        functions.write(&list(&functions.program))?;
    }
    mesh.down()
}

/// What a mesh does all day.
fn work(mesh: &LocalMesh, trace: &Trace, time: Duration) -> Result<()> {
    let load = Load::start(mesh::PAGE);
    std::thread::sleep(time / 3);
    trace.sometimes();
    for args in [&["set", "reviews", "v1=50", "v3=50"][..], &["delete", "reviews"]] {
        mesh.ask(&[&["route"], args].concat())?;
        std::thread::sleep(time / 6);
    }
    for pod in ["productpage", "reviews-v1", "ratings"] {
        let metrics = "127.0.0.1:15020/stats/prometheus";
        mesh.ask_as_root(&["local", "exec", pod, "--", "curl", "-sS", "--fail", metrics])?;
    }
    load.stop()?.no_failures()?;
    std::thread::sleep(time / 3);
    Ok(())
}

fn list(program: &str) -> PathBuf {
    paths::root().join("xtask/layout").join(Path::new(program).with_extension("ld"))
}
