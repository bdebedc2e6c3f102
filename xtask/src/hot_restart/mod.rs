//! Proxies that replace each other under load, many times in a row.

mod agent;
mod load;
mod report;
mod sampler;
mod setup;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{build, tools};
use agent::Agent;
use load::Load;
use report::Report;
use sampler::Sampler;
use setup::Setup;

/// For how long there is one proxy alone between two handovers, to compare with.
const CALM: Duration = Duration::from_secs(2);

/// How long the old proxy may take to leave, beyond the drain time.
const LEAVE_DEADLINE: Duration = Duration::from_secs(30);

/// The phases of the load.
const CALM_PHASE: &str = "calm";
const HANDOVER_PHASE: &str = "handover";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the proxy is replaced.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    handovers: u32,
    /// The load goes on until so many requests have succeeded.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(100..))]
    rate: u32,
    /// Which proxy.
    #[arg(long, value_enum, default_value = "mesh-proxy")]
    proxy: Proxy,
    /// A short run: 3 handovers, 5,000 requests.
    #[arg(long, conflicts_with_all = ["handovers", "requests", "rate"])]
    check: bool,
    /// Build with fat LTO, as it is shipped. Slow.
    #[arg(long)]
    release: bool,
    /// Take the programs from this folder instead of building them.
    #[arg(long, conflicts_with = "release")]
    bin_dir: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Proxy {
    MeshProxy,
    /// A stock Envoy, under mesh-agent too.
    Envoy,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Args {
    /// `--check`, with mesh-proxy.
    pub(crate) fn check() -> Self {
        Self {
            handovers: 20,
            requests: 0,
            rate: 0,
            proxy: Proxy::MeshProxy,
            check: true,
            release: false,
            bin_dir: None,
            output: Output::Text,
            yes: false,
        }
    }

    fn size(&self) -> Size {
        match self.check {
            true => Size { handovers: 3, requests: 5000, rate: 1000 },
            false => {
                let Self { handovers, requests, rate, .. } = *self;
                Size { handovers, requests, rate }
            }
        }
    }
}

/// How much.
struct Size {
    handovers: u32,
    requests: u64,
    rate: u32,
}

/// Builds, and replaces the proxy under load.
///
/// # Errors
/// When a handover, a request, a counter or a gauge is not as it must be.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.proxy == Proxy::Envoy {
        tools::install(tools::Purpose::Bench, args.yes)?;
    }
    let folder = match &args.bin_dir {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => build::build_packages(&["mesh-proxy", "mesh-agent", "mesh-load"], args.release)?,
    };
    run_from(&folder, args)
}

/// As [`run`], with the binaries in `folder`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from(folder: &Path, args: &Args) -> Result<()> {
    let proxy = match args.proxy {
        Proxy::MeshProxy => folder.join("mesh-proxy"),
        Proxy::Envoy => tools::envoy()?,
    };
    let size = args.size();
    let setup = Setup::new(&folder.join("mesh-load"))?;
    let mut agent = Agent::start(&folder.join("mesh-agent"), &proxy, &setup)?;
    let report = hand_over(args.proxy, &size, &setup, &agent)?;
    agent.stop()?;
    match args.output {
        Output::Text => print!("{}", report.text()),
        Output::Json => println!("{:#}", report.json()),
    }
    report.verdict()
}

fn hand_over(proxy: Proxy, size: &Size, setup: &Setup, agent: &Agent) -> Result<Report> {
    let bar = progress(size)?;
    let mut load = Load::start(setup, size.rate)?;
    let sampler = Sampler::start(agent.handle(), setup.admin);
    let mut took = Vec::new();
    load.phase(CALM_PHASE)?;
    wait(CALM, &load, &bar)?;
    for number in 1..=size.handovers {
        load.phase(HANDOVER_PHASE)?;
        let start = Instant::now();
        agent.restart().with_context(|| format!("handover {number}"))?;
        took.push(start.elapsed());
        let left = leave(agent, &load, &bar).with_context(|| format!("handover {number}"))?;
        bar.inc(1);
        if bar.is_hidden() {
            let (now, seen) = (took.last().map_or(0, Duration::as_millis), load.seen());
            eprintln!(
                "handover {number} of {}: took over after {now} ms, the old one left after \
                 {:.1} s; {} requests, {} failures",
                size.handovers,
                left.as_secs_f64(),
                seen.requests,
                seen.failures
            );
        }
        load.phase(CALM_PHASE)?;
        wait(CALM, &load, &bar)?;
    }
    while load.seen().requests < size.requests {
        wait(Duration::from_millis(200), &load, &bar)?;
    }
    let load = load.stop()?;
    bar.finish_and_clear();
    let seen = sampler.stop()?;
    let gauges = sampler::Gauges::settled(setup)?;
    Ok(Report { proxy, handovers: size.handovers, took, load, seen, gauges })
}

/// Waits until one proxy is left; gives how long that took.
fn leave(agent: &Agent, load: &Load, bar: &ProgressBar) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let generations = agent.generations()?;
        if generations.len() == 1 {
            return Ok(start.elapsed());
        }
        ensure!(
            start.elapsed() < setup::DRAIN + LEAVE_DEADLINE,
            "the old proxy is there after {:?}: {generations:?}",
            start.elapsed()
        );
        wait(Duration::from_millis(100), load, bar)?;
    }
}

/// Lets the load go on for a while.
fn wait(time: Duration, load: &Load, bar: &ProgressBar) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        load.alive()?;
        let seen = load.seen();
        bar.set_message(format!("{} requests, {} failures", seen.requests, seen.failures));
        std::thread::sleep(Duration::from_millis(50).min(time));
    }
    Ok(())
}

/// Hidden where there is no terminal.
fn progress(size: &Size) -> Result<ProgressBar> {
    let bar = ProgressBar::new(size.handovers.into());
    let style = ProgressStyle::with_template("handovers [{bar:30}] {pos}/{len} {elapsed} {msg}")?;
    bar.set_style(style.progress_chars("=> "));
    Ok(bar)
}
