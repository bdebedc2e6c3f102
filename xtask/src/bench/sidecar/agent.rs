//! What the agent takes beside a proxy.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::figures::{Figures, MESH};
use super::net::PROXY_UID;
use super::{Bench, CORES, megabytes};
use crate::bootstrap;
use crate::process::{Running, Usage};

/// How long the agent looks after its proxy before it is measured: what the start took is
/// given back by then.
const SETTLED: Duration = Duration::from_secs(12);

const DEADLINE: Duration = Duration::from_secs(20);

const ADMIN: u16 = 15000;

impl Bench {
    /// Runs the agent of `binaries` with a proxy.
    ///
    /// # Errors
    /// When its proxy does not get ready.
    pub(super) fn agent(&self, binaries: &Path, figures: &mut Figures) -> Result<()> {
        let folder = tempfile::tempdir_in(self.folder.path()).context("a folder")?;
        std::os::unix::fs::chown(folder.path(), Some(PROXY_UID), Some(PROXY_UID))?;
        let file = self.folder.path().join("agent.json");
        let admin = bootstrap::address(([127, 0, 0, 1], ADMIN).into());
        std::fs::write(&file, json!({"admin": {"address": admin}}).to_string())?;
        let agent = super::copy(&binaries.join("mesh-agent"), self.folder.path())?;
        let mut place = self.pods.server.place(CORES[0]);
        place.uid = Some(PROXY_UID);
        let (file, folder) = (file.display().to_string(), folder.path().display().to_string());
        let at_once = ["--minimum-drain-s", "0", "--drain-time-s", "0"];
        let args = ["proxy", "static", "-c", &file, "--config-dir", &folder];
        let args = [&args[..], &at_once].concat();
        let mut agent = Running::start("mesh-agent", place, &agent, &args, self.folder.path())?;
        agent.listening(&[ADMIN])?;
        let start = Instant::now();
        while start.elapsed() < SETTLED {
            std::thread::sleep(SETTLED / 10);
        }
        let used = Usage::of(agent.id())?;
        figures.add("mesh-agent beside a proxy", "RSS MB", MESH, megabytes(&used));
        // It takes its proxy with it.
        agent.signal("TERM")?;
        agent.ended(DEADLINE).map(drop)
    }
}
