//! A Kubernetes cluster on this machine, made by kind, for tests and for trying things out.

mod engine;
mod kind;
mod packages;
mod status;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

pub(crate) use self::kind::Cluster;
use crate::command::is_root;
use crate::docker::Docker;
use crate::{images, paths, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring a cluster up, unless it is, with the Docker and the kind that are found.
    Up(UpArgs),
    /// Take the cluster down; what was built for it is kept.
    Down,
    /// Say what there is.
    Status,
    /// Load what `cargo xtask images` built into the cluster.
    LoadImages,
    /// Stand in for runc.
    #[command(hide = true)]
    Runtime { args: Vec<OsString> },
}

#[derive(clap::Args)]
pub(crate) struct UpArgs {
    /// Without Docker and kind: a Docker engine of the cluster's own, and a node built from
    /// Debian packages and Go modules. Needs root, Debian and Go; minutes the first time.
    #[arg(long)]
    from_packages: bool,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

impl UpArgs {
    /// `--from-packages`, with nobody there to ask.
    pub(crate) fn unattended() -> Self {
        Self { from_packages: true, yes: true }
    }

    /// Whether the cluster is to be made from packages, or made anew when those have changed.
    pub(crate) fn is_from_packages(&self) -> bool {
        self.from_packages
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.action {
        Action::Up(args) => {
            let start = Instant::now();
            let cluster = up(args)?;
            eprintln!("the cluster is up, in {:.1} s\n", start.elapsed().as_secs_f64());
            eprintln!("{}", cluster.how_to_use());
            Ok(())
        }
        Action::Down => down(),
        Action::Status => status::print(),
        Action::LoadImages => load_images(),
        Action::Runtime { args } => engine::run_runtime(args),
    }
}

/// Brings the cluster up, unless it is, and waits until its node is ready. When this was
/// interrupted, doing it again goes on.
///
/// # Errors
/// When something that it needs is missing, and when a step fails.
pub(crate) fn up(args: &UpArgs) -> Result<Cluster> {
    let _lock = lock()?;
    let cluster = if args.from_packages { from_packages(args.yes)? } else { Cluster::found()? };
    cluster.up()?;
    Ok(cluster)
}

fn from_packages(yes: bool) -> Result<Cluster> {
    ensure!(
        is_root(),
        "--from-packages needs root (it runs a Docker engine and installs Debian in folders): \
         run it as root, or leave the flag out and use a Docker and a kind of yours"
    );
    tools::install(tools::Purpose::Cluster, yes)?;
    let docker = engine::up(&data()?)?;
    let made = packages::make(&docker, &folder()?)?;
    Cluster::own(docker, &made.bin, Some(made.node_image))
}

/// Takes it down and leaves no process, network or container of it.
///
/// # Errors
/// When something does not end.
pub(crate) fn down() -> Result<()> {
    let _lock = lock()?;
    if !engine::is_there() {
        return match Cluster::found() {
            Ok(cluster) => cluster.down(),
            Err(why) => {
                eprintln!("nothing is up: {why:#}");
                Ok(())
            }
        };
    }
    // A node may have outlived its engine, and only an engine can end it.
    let docker = engine::up(&data()?)?;
    let folder = folder()?;
    if packages::has_bin(&folder) {
        Cluster::own(docker, &packages::bin(&folder), None)?.down()?;
    }
    engine::down(&data()?)
}

/// The cluster that is up or could be: in our own engine when that runs.
///
/// # Errors
/// When there is neither that engine nor one of the user's.
pub(crate) fn current() -> Result<Cluster> {
    match engine::running() {
        Some(docker) => Cluster::own(docker, &packages::bin(&folder()?), None),
        None => Cluster::found(),
    }
}

/// Whether a cluster is up.
pub(crate) fn is_up() -> bool {
    current().is_ok_and(|cluster| cluster.is_ready())
}

/// The engine to build images with, and what to build them on when it is not to be pulled.
///
/// # Errors
/// As [`current`].
pub(crate) fn builder() -> Result<(Docker, Option<String>)> {
    match engine::running() {
        Some(docker) => Ok((docker, Some(packages::base_image()))),
        None => Ok((Docker::found()?, None)),
    }
}

/// Loads the mesh's images into the cluster's node.
///
/// # Errors
/// When one was not built, or there is no cluster.
pub(crate) fn load_images() -> Result<()> {
    let cluster = current()?;
    ensure!(cluster.is_ready(), "no cluster is up: `cargo xtask cluster up` brings one up");
    let images = images::all_names();
    for image in &images {
        ensure!(
            cluster.docker().has_image(image)?,
            "{image} is not built: `cargo xtask images` builds it"
        );
    }
    cluster.load(&images)
}

/// The cluster's folder in the user's cache folder.
fn folder() -> Result<PathBuf> {
    paths::cache_dir("cluster")
}

fn data() -> Result<PathBuf> {
    Ok(folder()?.join("engine"))
}

/// Held by whoever changes something; another one waits.
fn lock() -> Result<File> {
    lock_named("lock", "cluster")
}

/// Held by whoever runs tests on the cluster, from its beginning to its end; another one waits.
///
/// # Errors
/// When there is no cache folder.
pub(crate) fn lock_for_tests() -> Result<File> {
    lock_named("e2e.lock", "e2e")
}

fn lock_named(name: &str, chore: &str) -> Result<File> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    if file.try_lock().is_err() {
        eprintln!("another `cargo xtask {chore}` is at work; waiting for it");
        file.lock().with_context(|| path.display().to_string())?;
    }
    Ok(file)
}
