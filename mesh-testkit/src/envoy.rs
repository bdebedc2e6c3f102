//! A stock Envoy, the peer that this project is compared with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Process;

/// Where Envoy is; as [`tool`](crate::tool) finds it.
///
/// # Panics
/// As there.
#[must_use]
pub fn binary() -> Option<PathBuf> {
    crate::tool("envoy")
}

/// Starts Envoy with a bootstrap file, one worker, and `args`. `None` as with [`binary`].
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn start(bootstrap: &Path, args: &[&str]) -> Option<Process> {
    let mut command = Command::new(binary()?);
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
    command.arg("--config-path").arg(bootstrap).args(args);
    Some(Process::start("envoy", &mut command))
}
