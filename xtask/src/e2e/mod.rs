//! The mesh on a Kubernetes cluster, tested by name.
//!
//! `suite` has the tests in their order; each is a function over a `Ctx`, in a namespace of its
//! own. `place` is the cluster, `mesh` what is installed in it, `load` what asks the mesh from
//! within it; `collect` keeps what explains a failure.

mod bookinfo;
mod collect;
mod ctx;
mod figures;
mod fixture;
mod forward;
mod load;
mod memory;
mod mesh;
mod place;
mod suite;
mod tests;
mod wait;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use self::ctx::Ctx;
use self::figures::Figures;
use self::mesh::Mesh;
use self::place::Place;
use self::suite::Run;
use crate::cluster::{self, UpArgs};
use crate::local_mesh::{stop_signals, stopped};
use crate::{build, paths};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which cluster to take.
    #[arg(long, value_enum, default_value = "kind")]
    cluster: Which,
    #[command(flatten)]
    up: UpArgs,
    /// Test a build with fat LTO, as it is shipped and measured. Slow to build.
    #[arg(long)]
    release: bool,
    /// Leave the cluster as it is then, with the namespaces of what failed.
    #[arg(long)]
    keep: bool,
    /// Run only this test; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the tests' names and what they show, and run none.
    #[arg(long)]
    list: bool,
    /// Take the mesh that is installed: build, load, install and uninstall nothing.
    #[arg(long)]
    as_is: bool,
    /// Push the images to this registry, and have the cluster take them from there. Needed
    /// with a current context that is not kind's.
    #[arg(long, value_name = "REGISTRY")]
    hub: Option<String>,
    /// One more value for `meshctl install`, such as ingressGateway.enabled=false.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Which {
    /// One of this machine's own, made when it is not up, and then taken down.
    Kind,
    /// That of the current context.
    Current,
}

impl Args {
    /// With nobody there to ask, and neither Docker nor kind.
    pub(crate) fn unattended() -> Self {
        Self {
            cluster: Which::Kind,
            up: UpArgs::unattended(),
            release: false,
            keep: false,
            only: Vec::new(),
            list: false,
            as_is: false,
            hub: None,
            set: Vec::new(),
        }
    }
}

/// Builds, brings a cluster up, installs the mesh, runs the tests, and cleans up.
///
/// # Errors
/// When a test fails, or what is needed for all of them.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        suite::print_names();
        return Ok(());
    }
    let folder = match (args.as_is, args.release) {
        (true, _) => paths::target_dir()?.join(if args.release { "release" } else { "debug" }),
        (false, true) => build::build(true)?,
        (false, false) => build::build_all()?,
    };
    run_from(&folder, args)
}

/// As [`run`], with the binaries in `folder`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from(folder: &Path, args: &Args) -> Result<()> {
    let stages = suite::choose(&args.only)?;
    let stop = stop_signals()?;
    let _lock = cluster::lock_for_tests()?;
    let reports = empty_folder()?;
    let place = Place::open(args)?;
    let outcome = (|| {
        let tag = if args.as_is { None } else { Some(place.bring_images(folder, args)?) };
        ensure!(!stopped(&stop), "stopped");
        let mesh = Mesh::new(&place, folder, args, tag);
        mesh.sweep()?;
        let run = Run { mesh: &mesh, reports: &reports, stop: &stop, keep: args.keep };
        let installed = if args.as_is { None } else { Some(run.install()?) };
        let failed = run.all(&stages)?;
        if let Some(figures) = installed {
            println!("{figures}");
        }
        println!("{}", measured(args)?);
        if failed > 0 {
            bail!("{failed} failed; what explains it: {}", reports.display());
        }
        if !args.as_is && !args.keep && place.outlives_this() {
            mesh.uninstall()?;
        }
        Ok(())
    })();
    let closed = place.close(args.keep);
    outcome.and(closed)
}

/// What the figures are of: they are worth nothing without it.
fn measured(args: &Args) -> Result<String> {
    let build = match (args.as_is, args.release) {
        (true, _) => "the mesh that was installed",
        (false, true) => "a release build (fat LTO)",
        (false, false) => "a dev build, which is not optimized",
    };
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(2).unwrap_or("?");
    Ok(format!(
        "measured: {build}, load and sidecars on one node with {cores} cores; the machine's load \
         over a quarter of an hour: {load}"
    ))
}

/// Where what explains a failure is kept until the next run.
fn empty_folder() -> Result<PathBuf> {
    let folder = paths::target_dir()?.join("e2e");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    ensure!(folder.is_dir(), "{}: no folder", folder.display());
    Ok(folder)
}
