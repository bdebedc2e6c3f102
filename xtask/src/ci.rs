//! What must pass before a change lands.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::command::{self, cargo};
use crate::{build, codegen, e2e, test, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The mesh on a Kubernetes cluster that is built from packages, too.
    #[arg(long)]
    e2e: bool,
}

type Part = (&'static str, fn() -> Result<()>);

const PARTS: [Part; 6] = [
    ("format", || command::run(cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", clippy),
    ("cargo deny", deny),
    ("build", || build::build_all().map(drop)),
    ("generated files", || codegen::check_from(&build::build_all()?)),
    ("tests", || test::run(&test::Args::unattended())),
];
/// After the tests: it takes their binaries.
const E2E: Part = ("e2e", || e2e::run(&e2e::Args::unattended()));

/// Runs every part in turn, up to the first that fails, and says how long each took.
///
/// # Errors
/// Those of the part that failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut took: Vec<(&str, Duration)> = Vec::new();
    let mut outcome = Ok(());
    for (name, part) in PARTS.into_iter().chain(args.e2e.then_some(E2E)) {
        eprintln!("\n== {name}");
        let start = Instant::now();
        outcome = part().with_context(|| name);
        took.push((name, start.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    eprintln!();
    for (name, time) in took {
        eprintln!("{:>7.1} s  {name}", time.as_secs_f64());
    }
    outcome
}

fn clippy() -> Result<()> {
    let args = ["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"];
    command::run(cargo().args(args))
}

fn deny() -> Result<()> {
    let deny = tools::cargo_deny()?;
    let mut command = std::process::Command::new(deny);
    command.current_dir(crate::paths::root());
    command::run(command.args(["check", "bans", "licenses", "sources"]))
}
