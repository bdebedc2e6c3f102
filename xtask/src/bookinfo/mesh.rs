//! One `meshctl local up` with bookinfo, and what can be asked of it.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::stopped;
use crate::command::{self, as_root};
use crate::http::Client;
use crate::paths;

/// Where the page is published on this machine.
pub(super) const PAGE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9080);

const UP_DEADLINE: Duration = Duration::from_secs(60);
const DOWN_DEADLINE: Duration = Duration::from_secs(30);

/// A running mesh; taken down when dropped.
pub(super) struct Mesh {
    child: Child,
    meshctl: PathBuf,
    started: Instant,
}

impl Mesh {
    /// Starts bookinfo, injected, with the binaries in `folder`; productpage's proxy is
    /// `envoy` when given.
    ///
    /// # Errors
    /// When the page's port is in use, or meshctl cannot be started as root.
    pub(super) fn up(folder: &Path, envoy: Option<&Path>) -> Result<Self> {
        // Another's page must not be taken for ours, nor another's mesh be taken down.
        ensure!(
            TcpStream::connect(PAGE).is_err(),
            "{PAGE} is in use, where the page would be; if it is another bookinfo, \
             `meshctl local down` ends it"
        );
        let meshctl = folder.join("meshctl");
        let sample = paths::root().join("samples/bookinfo");
        let mut up = as_root(&meshctl)?;
        up.args(["local", "up", "--inject", "--file"]).arg(sample.join("bookinfo.yaml"));
        up.arg("--images").arg(sample.join("images.yaml"));
        up.arg("--publish").arg(format!("{}:productpage:9080", PAGE.port()));
        up.arg("--bin-dir").arg(folder);
        if let Some(path) = envoy {
            up.arg("--proxy-binary").arg(format!("productpage-v1={}", path.display()));
        }
        eprintln!("$ {}", command::text(&up));
        let started = Instant::now();
        let child = up.spawn().with_context(|| format!("cannot start {}", meshctl.display()))?;
        Ok(Self { child, meshctl, started })
    }

    pub(super) fn meshctl(&self) -> &Path {
        &self.meshctl
    }

    /// Waits until the page shows details and reviews; gives the time since the start.
    ///
    /// # Errors
    /// When meshctl ends, when `stop` is set, and after a minute.
    pub(super) fn wait_for_page(&mut self, stop: &AtomicBool) -> Result<Duration> {
        self.wait_until("a good page", stop, |_| page_is_good())?;
        Ok(self.started.elapsed())
    }

    /// Waits until every pod is ready, some time after the page shows what it can.
    ///
    /// # Errors
    /// As [`wait_for_page`](Self::wait_for_page).
    pub(super) fn wait_for_pods(&mut self, stop: &AtomicBool) -> Result<()> {
        self.wait_until("all pods", stop, Self::pods_are_ready)
    }

    fn wait_until(
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
    pub(super) fn wait(&mut self, stop: &AtomicBool) -> Result<()> {
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
    pub(super) fn ask(&self, args: &[&str]) -> Result<String> {
        // sudo hands neither on to the mesh, so that what they say is another one.
        let mut meshctl = Command::new(&self.meshctl);
        meshctl.env_remove("MESH_LOCAL_STATE").env_remove("MESH_PILOT").args(args);
        command::read(&mut meshctl)
    }

    /// Runs `meshctl` as root and gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn ask_as_root(&self, args: &[&str]) -> Result<String> {
        command::read(as_root(&self.meshctl)?.args(args))
    }

    /// Takes everything down and waits for it.
    ///
    /// # Errors
    /// When `meshctl local up` is still there after half a minute.
    pub(super) fn down(&mut self) -> Result<()> {
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

impl Drop for Mesh {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            eprintln!("taking the mesh down: {error:#}");
        }
    }
}

fn page_is_good() -> Result<()> {
    let answer = Client::new(PAGE).get("/productpage", &[])?;
    ensure!(answer.status == 200, "status {}", answer.status);
    ensure!(!answer.body.contains("cannot be had"), "the page lacks details or reviews");
    Ok(())
}
