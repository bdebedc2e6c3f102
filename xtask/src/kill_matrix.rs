//! The table of mesh-agent's test of that name: who dies in which state of a handover, and
//! what is lost with it.

use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::build;
use crate::command::{self, cargo};

const TEST: [&str; 5] = ["test", "--package", "mesh-agent", "--test", "kill_matrix"];

/// Builds, and shows the rows as they come, then the table.
///
/// # Errors
/// When something is lost that should not be, and when this is not root.
pub(crate) fn run() -> Result<()> {
    ensure!(command::is_root(), "network namespaces need root: type it with sudo");
    let folder = build::build_packages(&["mesh-proxy", "mesh-agent", "mesh-load"], false)?;
    command::run(cargo().args(TEST).arg("--no-run"))?;
    // The agents tell there what they do, all at once.
    let log = tempfile::NamedTempFile::new().context("making a temporary file")?;
    let mut test: Command = cargo();
    test.args(TEST).args(["--quiet", "--", "--nocapture"]).env("MESH_BIN_DIR", folder);
    let status = test.stderr(log.as_file().try_clone()?).status().context("cannot start cargo")?;
    if status.success() {
        return Ok(());
    }
    let kept = std::env::temp_dir().join("mesh-kill-matrix.log");
    std::io::copy(&mut log.reopen()?, &mut File::create(&kept)?)?;
    bail!("{}: {status}; what the agents said is in {}", command::text(&test), kept.display())
}
