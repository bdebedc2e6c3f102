//! The bookinfo sample in a mesh on this machine.

mod check;
mod leftovers;
pub(crate) mod mesh;
pub(crate) mod rules;
pub(crate) mod split;
pub(crate) mod traffic;

use std::path::Path;

use anyhow::Result;

use crate::command::{as_root, is_root};
use crate::local_mesh::{LocalMesh, stop_signals};
use crate::{build, paths, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Check by itself that traffic is shifted, then take it down.
    #[arg(long)]
    check: bool,
    /// After the check, leave it up until Ctrl-C.
    #[arg(long, requires = "check")]
    keep: bool,
    /// Put a stock Envoy in the place of productpage's mesh-proxy.
    #[arg(long)]
    envoy: bool,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

impl Args {
    /// `--check`, and with a stock Envoy or without.
    pub(crate) fn check(envoy: bool) -> Self {
        Self { check: true, keep: false, envoy, yes: false }
    }
}

/// Builds, brings bookinfo up, and waits for Ctrl-C; or checks it.
///
/// # Errors
/// When a part does not come up, when the check fails, or when this is not root and there
/// is no sudo.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Known before the minutes that building takes.
    as_root("meshctl")?;
    let purpose = if args.envoy { tools::Purpose::Test } else { tools::Purpose::Run };
    tools::install(purpose, args.yes)?;
    run_from(&build::build(false)?, args)
}

/// As [`run`], with the binaries in `folder`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from(folder: &Path, args: &Args) -> Result<()> {
    let envoy = if args.envoy { Some(tools::envoy()?) } else { None };
    let stop = stop_signals()?;
    if args.check {
        return check::run(folder, envoy.as_deref(), &stop, args.keep);
    }
    let mut mesh = mesh::up(folder, envoy.as_deref())?;
    let took = mesh::wait_for_page(&mut mesh, &stop)?;
    mesh.wait_for_pods(&stop)?;
    eprintln!("\nthe first good page came {:.1} s after the start\n", took.as_secs_f64());
    eprintln!("{}", what_next(&mesh));
    mesh.wait(&stop)
}

fn what_next(mesh: &LocalMesh) -> String {
    let meshctl = paths::typed(mesh.meshctl());
    let root = if is_root() { "" } else { "sudo " };
    let rules = "samples/bookinfo/rules";
    format!(
        "The page, whose stars change on reload:  http://{address}/productpage\n\
         \n\
         In another terminal, in this folder:\n\
         \n\
         half without stars, half with red ones, v2 never:\n\
         \x20   {meshctl} route set reviews v1=50 v3=50\n\
         what is in force, and who has it:\n\
         \x20   {meshctl} route get\n\
         \x20   {meshctl} proxy-status\n\
         Istio's rules as they are (log in as jason on the page for v2):\n\
         \x20   {root}{meshctl} local apply -f {rules}/destination-rule-all.yaml \
         -f {rules}/virtual-service-reviews-test-v2.yaml\n\
         inside a sidecar:\n\
         \x20   {root}{meshctl} local exec productpage -- curl -s 127.0.0.1:15000/clusters\n\
         \n\
         Ctrl-C ends the mesh.",
        address = mesh::PAGE,
    )
}
