//! The load, as it runs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::setup::Setup;

/// A running mesh-load; killed when dropped.
pub(super) struct Load {
    child: Child,
    control: ChildStdin,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<Result<Value>>>,
}

/// What it has said so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) failures: u64,
}

impl Load {
    pub(super) fn start(setup: &Setup, rate: u32) -> Result<Self> {
        let file = setup.path().join("scenario.json");
        std::fs::write(&file, setup.scenario(rate).to_string())?;
        let mut command = Command::new(&setup.load);
        command.arg("run").arg(&file).arg("--control");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start mesh-load")?;
        let control = child.stdin.take().context("mesh-load's input")?;
        let stdout = BufReader::new(child.stdout.take().context("mesh-load's output")?);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let reader = std::thread::spawn(move || read(stdout, &shared));
        Ok(Self { child, control, seen, reader: Some(reader) })
    }

    /// From here on times are counted under this name.
    pub(super) fn phase(&mut self, name: &str) -> Result<()> {
        self.say(&format!("phase {name}"))
    }

    pub(super) fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// When it has ended by itself.
    pub(super) fn alive(&self) -> Result<()> {
        if self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) {
            return Ok(());
        }
        bail!("mesh-load ended too early");
    }

    /// Ends it and gives its report.
    pub(super) fn stop(mut self) -> Result<Value> {
        self.say("stop")?;
        let reader = self.reader.take().context("mesh-load's output")?;
        let Ok(report) = reader.join() else { bail!("reading mesh-load's output panicked") };
        report
    }

    fn say(&mut self, command: &str) -> Result<()> {
        writeln!(self.control, "{command}").context("mesh-load ended too early")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(lines: impl BufRead, seen: &Mutex<Seen>) -> Result<Value> {
    for line in lines.lines() {
        let line: Value = serde_json::from_str(&line?)?;
        if let Value::Object(_) = &line["report"] {
            return Ok(line["report"].clone());
        }
        let number = |name: &str| line[name].as_u64().unwrap_or(0);
        let now = Seen { requests: number("requests"), failures: number("failures") };
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
    bail!("mesh-load ended without a report")
}
