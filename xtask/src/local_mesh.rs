//! One `meshctl local up`, and what can be asked of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::command::{self, as_root};

const UP_DEADLINE: Duration = Duration::from_secs(60);
const DOWN_DEADLINE: Duration = Duration::from_secs(30);

/// A running mesh; taken down when dropped.
pub(crate) struct LocalMesh {
    child: Child,
    meshctl: PathBuf,
    started: Instant,
}

impl LocalMesh {
    /// Runs `meshctl local up` with the binaries in `folder` and these arguments.
    ///
    /// # Errors
    /// When meshctl cannot be started as root.
    pub(crate) fn up(folder: &Path, args: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let meshctl = folder.join("meshctl");
        let mut up = as_root(&meshctl)?;
        up.args(["local", "up", "--inject", "--bin-dir"]).arg(folder).args(args);
        eprintln!("$ {}", command::text(&up));
        let started = Instant::now();
        let child = up.spawn().with_context(|| format!("cannot start {}", meshctl.display()))?;
        Ok(Self { child, meshctl, started })
    }

    /// Since when.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn meshctl(&self) -> &Path {
        &self.meshctl
    }

    /// Waits until every pod is ready.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until).
    pub(crate) fn wait_for_pods(&mut self, stop: &AtomicBool) -> Result<()> {
        self.wait_until("all pods", stop, Self::pods_are_ready)
    }

    /// Waits until `check` finds nothing wrong.
    ///
    /// # Errors
    /// When meshctl ends, when `stop` is set, and after a minute.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        stop: &AtomicBool,
        mut check: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("meshctl local up ended before there was {what}: {status}");
            }
            ensure!(!stopped(stop), "stopped before there was {what}");
            let Err(why) = check(self) else { return Ok(()) };
            if self.started.elapsed() > UP_DEADLINE {
                return Err(why).context(format!("not {what} after {UP_DEADLINE:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn pods_are_ready(&self) -> Result<()> {
        let report: Value = serde_json::from_str(&self.ask(&["local", "ps", "-o", "json"])?)?;
        let pods = report["pods"].as_array().map(Vec::as_slice).unwrap_or_default();
        for pod in pods {
            ensure!(pod["ready"] == true, "{} is not ready", pod["name"]);
        }
        ensure!(!pods.is_empty(), "no pods");
        Ok(())
    }

    /// Waits until meshctl ends, which Ctrl-C makes it do, and `stop` too.
    ///
    /// # Errors
    /// When it ends by itself with an error.
    pub(crate) fn wait(&mut self, stop: &AtomicBool) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success() || stopped(stop), "meshctl local up: {status}");
                return Ok(());
            }
            if stopped(stop) {
                return self.down();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs `meshctl` as this user and gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<String> {
        // sudo hands neither on to the mesh, so that what they say is another one.
        let mut meshctl = Command::new(&self.meshctl);
        meshctl.env_remove("MESH_LOCAL_STATE").env_remove("MESH_PILOT").args(args);
        command::read(&mut meshctl)
    }

    /// Runs `meshctl` as root and gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn ask_as_root(&self, args: &[&str]) -> Result<String> {
        command::read(as_root(&self.meshctl)?.args(args))
    }

    /// Takes everything down and waits for it.
    ///
    /// # Errors
    /// When `meshctl local up` is still there after half a minute.
    pub(crate) fn down(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // It refuses when Ctrl-C, which reaches both programs, has begun the end already.
        let asked = self.ask_as_root(&["local", "down"]);
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > DOWN_DEADLINE {
                asked?;
                bail!("meshctl local up is there {DOWN_DEADLINE:?} after down");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for LocalMesh {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            eprintln!("taking the mesh down: {error:#}");
        }
    }
}

/// A flag that Ctrl-C and SIGTERM set instead of ending this program: meshctl gets Ctrl-C
/// too and must be waited for.
pub(crate) fn stop_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("registering a signal")?;
    }
    Ok(stop)
}

pub(crate) fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
