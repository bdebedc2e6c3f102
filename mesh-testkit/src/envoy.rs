//! A stock Envoy, the peer that this project is compared with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Process, missing};

/// Where Envoy is: `MESH_ENVOY`, or where `cargo xtask tools` puts it. `None`, after
/// [`missing`], when it is in neither place.
///
/// # Panics
/// When `MESH_ENVOY` is set and names no file, and under `CI=true` when there is none.
#[must_use]
pub fn binary() -> Option<PathBuf> {
    let set = |key| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("MESH_ENVOY") {
        assert!(path.is_file(), "MESH_ENVOY names no file: {}", path.display());
        return Some(path);
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let found = cache.map(|cache| cache.join("mesh/tools/bin/envoy")).filter(|path| path.is_file());
    if found.is_none() {
        missing("there is no Envoy: `cargo xtask tools` fetches it");
    }
    found
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
