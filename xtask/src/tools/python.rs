//! Peers from PyPI: a gRPC and a WebSocket that are not ours.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, paths};

/// Versions that go together.
const PACKAGES: [&str; 3] = ["grpcio==1.85.3", "typing-extensions==4.16.0", "websockets==17.4"];

/// Installs them into the folder `python` of the tools folder, once, for the `python3` that is
/// found in `PATH`.
///
/// # Errors
/// When pip fails; it has printed why.
pub(super) fn install() -> Result<()> {
    let folder = paths::tools_dir()?.join("python");
    // Written last.
    let mark = folder.join("packages.txt");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]);
    pip.args(["--only-binary=:all:", "--root-user-action=ignore", "--target"]).arg(&folder);
    command::run(pip.args(PACKAGES))?;
    std::fs::write(&mark, wanted).with_context(|| mark.display().to_string())
}
