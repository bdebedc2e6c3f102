//! The agent that replaces the proxy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::setup::{DRAIN, Setup};
use crate::command;
use crate::process::{Place, Running};

const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// What `mesh-agent restart` says of a handover.
const TAKEN_OVER: &str = "has taken over";

/// A running agent; ended when dropped, with its proxies.
pub(super) struct Agent {
    process: Running,
    handle: Handle,
}

/// How to ask it.
#[derive(Clone)]
pub(super) struct Handle {
    program: PathBuf,
    folder: PathBuf,
}

/// A proxy that lives.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) pid: u32,
}

impl Agent {
    /// Starts it with `proxy` and waits until that listens.
    pub(super) fn start(program: &Path, proxy: &Path, setup: &Setup) -> Result<Self> {
        let text = |path: &Path| path.display().to_string();
        let [status, ready] = setup.agent_pages.map(|address| address.port().to_string());
        let (file, folder) = (text(&setup.bootstrap()), text(&setup.config_dir()));
        let proxy = text(proxy);
        let drain = DRAIN.as_secs().to_string();
        // Nothing lives longer than a drain takes, so nothing needs to be cut.
        let parent = (DRAIN.as_secs() + 4).to_string();
        let args = [
            ["--config-path", &file],
            ["--config-dir", &folder],
            ["--proxy-binary", &proxy],
            ["--concurrency", "2"],
            ["--drain-time-s", &drain],
            ["--parent-shutdown-time-s", &parent],
            ["--minimum-drain-s", "0"],
            ["--termination-drain-s", "5"],
            ["--status-port", &status],
            ["--readiness-port", &ready],
        ];
        let args = [&["proxy", "static"], args.as_flattened()].concat();
        let mut process =
            Running::start("mesh-agent", Place::default(), program, &args, setup.path())?;
        process.listening(&setup.ports())?;
        let handle = Handle { program: program.to_owned(), folder: setup.config_dir() };
        Ok(Self { process, handle })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Has the proxy replaced; is back when the new one serves.
    ///
    /// # Errors
    /// When it did not come to that, or the old one was ended before; with the agent's log.
    pub(super) fn restart(&self) -> Result<()> {
        let said = self.handle.ask(&["restart"]).with_context(|| self.process.log())?;
        let log = || format!("no handover: {said}{}", self.process.log());
        ensure!(said.contains(TAKEN_OVER), log());
        Ok(())
    }

    pub(super) fn generations(&self) -> Result<Vec<Generation>> {
        self.handle.generations()
    }

    /// Ends it and its proxies in good order.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.process.signal("TERM")?;
        self.process.ended(STOP_DEADLINE).map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // By itself it ends its proxies too; a killed one would leave them.
        let _ = self.stop();
    }
}

impl Handle {
    /// The proxies that live.
    pub(super) fn generations(&self) -> Result<Vec<Generation>> {
        let status: Value = serde_json::from_str(&self.ask(&["status", "--output", "json"])?)?;
        let generations = status["generations"].as_array().context("no generations")?;
        let one = |generation: &Value| {
            let pid = generation["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            pid.map(|pid| Generation { pid }).context("a generation has no pid")
        };
        generations.iter().map(one).collect()
    }

    fn ask(&self, what: &[&str]) -> Result<String> {
        let mut agent = Command::new(&self.program);
        command::read(agent.args(what).arg("--config-dir").arg(&self.folder))
    }
}
