//! One cell: a handover under load, stopped, and a kill.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Instant, SystemTime};

use mesh_testkit::{HandoverRelay, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Agent, Namespace, becomes};
use crate::load::{self, Load, Upstream};
use crate::state::State;
use crate::table::Row;

const TIMES: [&str; 10] = [
    "--minimum-drain-s",
    "0",
    "--drain-time-s",
    "2",
    "--termination-drain-s",
    "2",
    "--parent-shutdown-time-s",
    "10",
    "--concurrency",
    "1",
];

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Victim {
    Old,
    New,
    Agent,
}

impl Victim {
    pub(crate) const ALL: [Self; 3] = [Self::Old, Self::New, Self::Agent];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Agent => "agent",
        }
    }
}

/// Runs a cell in a network namespace of its own, which this thread enters.
pub(crate) fn run(state: &State, victim: Victim) -> Row {
    let _namespace = Namespace::new();
    let _upstream = Upstream::start();
    let proxy = mesh_testkit::binary::binary("mesh-proxy");
    let mut agent = Agent::start_static(&load::configuration(), |_| proxy, &TIMES);
    becomes("200", "ready");
    agent.generations(&[(0, "serving")]);
    let mut load = Load::start();
    load.next_second();
    let relay = HandoverRelay::at(&socket(&agent));
    // Its outcome shows in the generations.
    let asked = {
        let (folder, program) = (agent.config_dir(), env!("CARGO_BIN_EXE_mesh-agent"));
        let mut restart = Command::new(program);
        restart.args(["restart", "--config-dir"]).arg(folder);
        thread::spawn(move || restart.output().unwrap())
    };
    let held = state.reach(&relay);
    let [old, new] = both(&agent);
    let at = SystemTime::now();
    let start = Instant::now();
    match victim {
        Victim::Old => killed(old),
        Victim::New => killed(new),
        Victim::Agent => agent.replace(),
    }
    let gone = SystemTime::now();
    held.pass();
    relay.open();
    let epoch = settled(&agent);
    let after =
        format!("{} serves, alone after {:.1} s", name(epoch), start.elapsed().as_secs_f64());
    load.next_second();
    load.next_second();
    let report = load.stop();
    asked.join().unwrap();
    Row::new(state, victim, [at, gone], &report, after)
}

/// Kills a process, and waits until its sockets are closed: on a busy machine it takes
/// connections for a while.
fn killed(process: Pid) {
    kill(process, Signal::SIGKILL).unwrap();
    eventually("the end of a process that was killed", || {
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return Some(()) };
        stat.rsplit(") ").next()?.starts_with('Z').then_some(())
    });
}

fn name(epoch: u64) -> &'static str {
    match epoch {
        0 => "the old one",
        1 => "the new one",
        _ => "another one",
    }
}

/// The old proxy's end of the handover.
fn socket(agent: &Agent) -> PathBuf {
    eventually("the old proxy's socket", || {
        let folder = fs::read_dir(agent.config_dir().join("hot-restart")).ok()?;
        let mut paths = folder.flatten().map(|entry| entry.path());
        paths.find(|path| path.extension().is_some_and(|epoch| epoch == "0"))
    })
}

/// The processes of both proxies.
fn both(agent: &Agent) -> [Pid; 2] {
    eventually("both proxies in the agent's status", || {
        let status = agent.status()?;
        let generations = status["generations"].as_array()?;
        let pid = |epoch: u64| {
            let one = generations.iter().find(|one| one["epoch"] == epoch)?;
            Some(Pid::from_raw(i32::try_from(one["pid"].as_i64()?).ok()?))
        };
        Some([pid(0)?, pid(1)?])
    })
}

/// Waits until one proxy is left, which serves; gives its epoch.
fn settled(agent: &Agent) -> u64 {
    eventually("one proxy alone, which serves", || {
        let status = agent.status()?;
        let [only] = &status["generations"].as_array()?[..] else { return None };
        let serves = only["state"] == "serving" && only["ready"] == true;
        serves.then(|| only["epoch"].as_u64().unwrap())
    })
}
