//! One `meshctl local up` with bookinfo, and what can be asked of it.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::stopped;
use crate::command::{self, as_root};
use crate::http::Client;
use crate::paths;

/// Where the page is published on this machine.
pub(super) const PAGE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9080);

const PAGE_DEADLINE: Duration = Duration::from_secs(60);
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
        let mut last = String::new();
        while self.started.elapsed() < PAGE_DEADLINE {
            if let Some(status) = self.child.try_wait()? {
                bail!("meshctl local up ended before there was a page: {status}");
            }
            ensure!(!stopped(stop), "stopped before there was a page");
            match page_is_good() {
                Ok(()) => return Ok(self.started.elapsed()),
                Err(why) => last = format!("{why:#}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("no good page at http://{PAGE}/productpage after {PAGE_DEADLINE:?}: {last}")
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
        command::read(Command::new(&self.meshctl).args(args))
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
    /// When `meshctl local down` fails, or `up` outlives it by half a minute.
    pub(super) fn down(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.ask_as_root(&["local", "down"])?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            let waited = start.elapsed();
            ensure!(waited < DOWN_DEADLINE, "meshctl local up is there {waited:?} after down");
            std::thread::sleep(Duration::from_millis(50));
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
