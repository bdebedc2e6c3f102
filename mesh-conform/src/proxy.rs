//! Envoy or mesh-proxy, running with a file.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

use crate::admin;

/// On a machine that is busy.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Envoy,
    MeshProxy,
}

/// Where both programs are.
#[derive(Clone)]
pub(crate) struct Programs {
    pub(crate) envoy: PathBuf,
    pub(crate) mesh_proxy: PathBuf,
}

/// A running proxy; killed when dropped.
pub(crate) struct Proxy {
    child: Child,
    log: PathBuf,
    name: &'static str,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Envoy => "Envoy",
            Self::MeshProxy => "mesh-proxy",
        }
    }

    fn command(self, programs: &Programs, config: &Path) -> Command {
        let (program, args) = match self {
            Self::Envoy => (
                &programs.envoy,
                &[
                    "--disable-hot-restart",
                    "--log-level",
                    "error",
                    "--file-flush-interval-msec",
                    "5",
                ][..],
            ),
            Self::MeshProxy => (&programs.mesh_proxy, &["--log-level", "warn"][..]),
        };
        let mut command = Command::new(program);
        command.args(args).args(["--concurrency", "1", "-c"]).arg(config).stdin(Stdio::null());
        command
    }

    /// Whether it takes this file; why not, otherwise.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(crate) fn validate(
        self,
        programs: &Programs,
        folder: &Path,
        config: &Path,
    ) -> Result<Result<(), String>> {
        let mut command = self.command(programs, config);
        command.args(["--mode", "validate"]).current_dir(folder);
        let output = command.output().with_context(|| self.name())?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Ok(if output.status.success() { Ok(()) } else { Err(said) })
    }
}

impl Proxy {
    /// Starts it in `folder` and waits until its admin pages say that it is ready.
    ///
    /// # Errors
    /// When it ends, with what it said.
    pub(crate) async fn start(
        kind: Kind,
        programs: &Programs,
        folder: &Path,
        config: &Path,
        admin: SocketAddr,
    ) -> Result<Self> {
        let log = folder.join("output.log");
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = kind.command(programs, config);
        command.current_dir(folder).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {}", kind.name()))?;
        let mut proxy = Self { child, log, name: kind.name() };
        let start = Instant::now();
        loop {
            if let Some(status) = proxy.child.try_wait()? {
                bail!("{} ended: {status}\n{}", proxy.name, proxy.said());
            }
            if admin::get(admin, "/ready").await.is_ok_and(|text| text.contains("LIVE")) {
                return Ok(proxy);
            }
            if start.elapsed() > START_DEADLINE {
                bail!("{} is not ready:\n{}", proxy.name, proxy.said());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it has ended by itself, and what it said.
    ///
    /// # Errors
    /// When it has.
    pub(crate) fn is_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.said()),
            None => Ok(()),
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
