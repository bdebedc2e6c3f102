//! One proxy between a client and an upstream, beside Envoy, HAProxy and nginx.
//!
//! `case` says what is measured and `setup` what a proxy must have for it; `config` tells it to
//! each proxy in its own words, `contender` starts it, `idle` holds connections that do nothing,
//! and `figures` has the numbers.

mod case;
mod config;
mod contender;
mod figures;
mod idle;
mod setup;
mod upstreams;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::case::{CASES, Case, What};
use self::contender::{Contender, Kind};
use self::figures::{Measured, Numbers};
use self::setup::{Door, Setup};
use self::upstreams::Upstreams;
use super::{CORES, Output, client};
use crate::process::{Place, Usage};
use crate::{build, command, tools};

/// After its start, or after connections were made, a proxy has this long to come to rest
/// before its memory is read.
const REST: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(super) struct Args {
    /// How often each proxy is measured; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one measurement takes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Measure only this; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave this proxy out; may be given more than once. Without envoy there are no ratios.
    #[arg(long, value_name = "PROXY")]
    without: Vec<String>,
    /// Print the names of what is measured, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Measure this mesh-proxy instead of building it with --release.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

/// Runs the measurement.
///
/// # Errors
/// When a tool is missing or a proxy fails a request.
pub(super) fn run(args: &Args) -> Result<()> {
    if args.list {
        for case in &CASES {
            println!("{:<14} {}", case.name, case.title);
        }
        return Ok(());
    }
    let cases = choose(&args.only)?;
    tools::install(tools::Purpose::Bench, args.yes)?;
    let (load, mesh_proxy) = programs(args)?;
    let mut kinds =
        vec![Kind::Envoy(tools::envoy()?), Kind::HaProxy, Kind::Nginx, Kind::MeshProxy(mesh_proxy)];
    for name in &args.without {
        let all = kinds.len();
        kinds.retain(|kind| kind.name() != name);
        ensure!(kinds.len() < all, "--without {name}: there is no such proxy");
    }
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let bench = Bench::new(&load, folder.path(), args.seconds)?;
    let measured = bench.measure(&cases, kinds, args.rounds)?;
    match args.output {
        Output::Table => print!("{}", figures::table(&measured)),
        Output::Json => println!("{:#}", figures::json(&measured)),
    }
    Ok(())
}

/// mesh-load and mesh-proxy.
fn programs(args: &Args) -> Result<(PathBuf, PathBuf)> {
    let Some(given) = &args.binary else {
        let folder = build::build_packages(&["mesh-load", "mesh-proxy"], true)?;
        return Ok((folder.join("mesh-load"), folder.join("mesh-proxy")));
    };
    let given = given.canonicalize().with_context(|| given.display().to_string())?;
    Ok((build::build_packages(&["mesh-load"], true)?.join("mesh-load"), given))
}

/// Those of these names, or all.
fn choose(only: &[String]) -> Result<Vec<&'static Case>> {
    for name in only {
        let names = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
        let known = CASES.iter().any(|case| case.name == name);
        ensure!(known, "--only {name}: there is no such measurement, but {}", names());
    }
    let chosen = |case: &&Case| only.is_empty() || only.iter().any(|name| name == case.name);
    Ok(CASES.iter().filter(chosen).collect())
}

struct Bench<'a> {
    upstreams: Upstreams,
    folder: &'a Path,
    seconds: u32,
}

impl<'a> Bench<'a> {
    fn new(load: &Path, folder: &'a Path, seconds: u32) -> Result<Self> {
        let mut certificates = Command::new(load);
        certificates.args(["certificates", "--folder"]).arg(folder).arg(upstreams::SERVER);
        command::read(&mut certificates)?;
        Ok(Self { upstreams: Upstreams::start(load, folder)?, folder, seconds })
    }

    fn measure(
        &self,
        cases: &[&'static Case],
        mut kinds: Vec<Kind>,
        rounds: u32,
    ) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for round in 1..=rounds {
            for kind in &kinds {
                for setup in Setup::ALL {
                    let here = |case: &&&Case| case.setup == setup && case.takes(kind.name());
                    for case in cases.iter().filter(here) {
                        let numbers = self
                            .one(case, kind)
                            .with_context(|| format!("{} through {}", case.name, kind.name()))?;
                        let one = Measured { case, proxy: kind.name(), numbers };
                        eprintln!("round {round} of {rounds}: {one}");
                        measured.push(one);
                    }
                }
            }
            // So that no proxy is always the first or comes always after the same other.
            kinds.rotate_left(1);
        }
        Ok(measured)
    }

    /// Each with a process of its own: what one measurement leaves is not the next one's.
    fn one(&self, case: &Case, kind: &Kind) -> Result<Numbers> {
        let proxy = Contender::start(kind, case.setup, &self.upstreams, self.folder)?;
        match case.what {
            What::Load { client, door, path } => {
                let scheme = if door == Door::Tls { "https" } else { "http" };
                let url = format!("{scheme}://{}{path}", proxy.address(door)?);
                let place = Place::core(CORES[0]);
                client::run(client, &url, 1, self.folder, place)?;
                let before = Usage::of(proxy.id())?;
                let load = client::run(client, &url, self.seconds, self.folder, place)?;
                Ok(Numbers::of_load(&load, &before, &Usage::of(proxy.id())?))
            }
            What::Memory { connections } => {
                let held = match connections {
                    0 => Vec::new(),
                    _ => idle::open(proxy.address(Door::Http2)?, connections)?,
                };
                sleep(REST);
                let numbers = Numbers::of_rest(&Usage::of(proxy.id())?);
                drop(held);
                Ok(numbers)
            }
        }
    }
}
