//! Asks Envoy and mesh-proxy the same things under the same configuration, and compares what
//! they do. How a case is written is in `case/mod.rs`.

mod admin;
mod area;
mod case;
mod client;
mod config;
mod diff;
mod graphed;
mod normal;
mod proxy;
mod report;
mod tls;
mod upstream;
mod wanted;
mod wire;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::area::{Outcome, Run};
use crate::case::Area;
use crate::proxy::Programs;
use crate::report::Report;
use crate::tls::Certificates;

/// Compares mesh-proxy with Envoy, case by case.
#[derive(Parser)]
#[command(name = "mesh-conform")]
struct Args {
    /// Only cases whose AREA/NAME contains this; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Only name the cases.
    #[arg(long)]
    list: bool,
    /// Print what each proxy did, too.
    #[arg(long)]
    show: bool,
    /// What to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// The folder of `AREA.yaml` files.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))]
    cases: PathBuf,
    /// The list of differences that are wanted.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/wanted.yaml"))]
    wanted: PathBuf,
    /// Envoy; where `cargo xtask tools` puts it, unless given.
    #[arg(long, env = "MESH_ENVOY")]
    envoy: Option<PathBuf>,
    /// mesh-proxy; the one beside this program, unless given.
    #[arg(long)]
    mesh_proxy: Option<PathBuf>,
    /// How many areas run at once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Keep the folder with configurations and logs, and say where it is.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// An area and the cases of it that are to run.
struct Work {
    name: String,
    area: Area,
    indices: Vec<usize>,
    ip: Ipv4Addr,
}

/// What came of an area.
struct Done {
    name: String,
    outcomes: Result<Vec<Outcome>>,
    took: Duration,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let work = work(&args)?;
    if args.list {
        for work in &work {
            work.indices.iter().for_each(|index| println!("{}", work.case(*index)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(!work.is_empty(), "no case is named so; --list names them");
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let programs = programs(&args)?;
    let good = run(&args, work, &programs, folder.path())?;
    if args.keep {
        eprintln!("configurations and logs: {}", folder.keep().display());
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn programs(args: &Args) -> Result<Programs> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("mesh-proxy"));
    let fetched = || {
        let set = |key| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        let cache = cache.context("no cache folder: set HOME, or give --envoy")?;
        Ok(cache.join("mesh/tools/bin/envoy"))
    };
    let path = |given: &Option<PathBuf>, otherwise: &dyn Fn() -> Result<PathBuf>| {
        let path = given.clone().map_or_else(otherwise, Ok)?;
        path.canonicalize().with_context(|| path.display().to_string())
    };
    Ok(Programs {
        envoy: path(&args.envoy, &fetched)?,
        mesh_proxy: path(&args.mesh_proxy, &beside)?,
    })
}

impl Work {
    fn case(&self, index: usize) -> String {
        format!("{}/{}", self.name, self.area.cases[index].name)
    }
}

/// Every area that has a case to run.
fn work(args: &Args) -> Result<Vec<Work>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(&args.cases)
        .with_context(|| args.cases.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    let mut all = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file)?;
        let area: Area = mesh_yaml::read(&text).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut work = Work { name, area, indices: Vec::new(), ip: own_ip(number) };
        let is_asked = |name: &String| {
            args.only.is_empty() || args.only.iter().any(|text| name.contains(text))
        };
        work.indices =
            (0..work.area.cases.len()).filter(|index| is_asked(&work.case(*index))).collect();
        if !work.indices.is_empty() {
            all.push(work);
        }
    }
    Ok(all)
}

/// An address that no other run and no other area has.
fn own_ip(area: usize) -> Ipv4Addr {
    let process = std::process::id();
    Ipv4Addr::new(127, 1 + (process >> 8) as u8 % 254, process as u8, 2 + area as u8)
}

/// Runs all of it, and tells whether nothing differs but what is wanted.
fn run(args: &Args, work: Vec<Work>, programs: &Programs, folder: &Path) -> Result<bool> {
    let list = wanted::read(&args.wanted)?;
    let mut report = Report::default();
    let mut failed = false;
    let certificates = Certificates::make(folder)?;
    let queue = Mutex::new(VecDeque::from(work));
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..args.jobs {
            let (queue, sender, certificates) = (&queue, sender.clone(), &certificates);
            scope.spawn(move || worker(queue, programs, folder, certificates, &sender));
        }
        drop(sender);
        for done in receiver {
            match done.outcomes {
                Ok(outcomes) => {
                    if args.show {
                        outcomes.iter().for_each(show);
                    }
                    let text = report.area(&done.name, &outcomes, done.took, &list);
                    if args.output == Output::Text {
                        print!("{text}");
                    }
                }
                Err(error) => {
                    failed = true;
                    eprintln!("{}: {error:?}", done.name);
                }
            }
        }
    });
    let stale = wanted::stale(&list, args.only.is_empty() && !failed);
    let (text, good) = report.end(&stale);
    match args.output {
        Output::Text => println!("{text}"),
        Output::Json => println!("{:#}", report.json(&stale)),
    }
    Ok(good && !failed)
}

fn show(outcome: &Outcome) {
    println!("{}\nEnvoy: {:#}", outcome.case, outcome.envoy);
    if !outcome.differences.is_empty() {
        println!("mesh-proxy: {:#}", outcome.mesh_proxy);
    }
}

/// Takes one area after the other.
fn worker(
    queue: &Mutex<VecDeque<Work>>,
    programs: &Programs,
    folder: &Path,
    certificates: &Certificates,
    done: &mpsc::Sender<Done>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(work) = next else { return };
        let start = Instant::now();
        let outcomes = one(&work, programs, folder, certificates.clone());
        let sent = done.send(Done { name: work.name, outcomes, took: start.elapsed() });
        if sent.is_err() {
            return;
        }
    }
}

fn one(
    work: &Work,
    programs: &Programs,
    folder: &Path,
    certificates: Certificates,
) -> Result<Vec<Outcome>> {
    let folder = folder.join(&work.name);
    std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let run =
            Run::new(&work.name, &work.area, work.ip, programs, &folder, certificates).await?;
        run.cases(&work.indices).await
    })
}
