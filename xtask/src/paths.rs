//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// The workspace's folder: that of the clone in which cargo was called, which another one that
/// shares the target folder may have built this program for.
pub(crate) fn root() -> &'static Path {
    static XTASK: LazyLock<PathBuf> = LazyLock::new(|| {
        let called = std::env::var_os("CARGO_MANIFEST_DIR");
        called.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    XTASK.parent().unwrap_or(&XTASK)
}

/// The folder in which cargo put this very program's profile folder, and puts the others.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding this program's own path")?;
    let target = exe.ancestors().nth(2).context("xtask does not lie in a target folder")?;
    Ok(target.to_path_buf())
}

/// The folder for fetched tools: `mesh/tools` in the user's cache folder.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn tools_dir() -> Result<PathBuf> {
    cache_dir("tools")
}

/// The folder `mesh/<name>` in the user's cache folder.
///
/// # Errors
/// As [`tools_dir`].
pub(crate) fn cache_dir(name: &str) -> Result<PathBuf> {
    let set = |key| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .context("no folder to keep tools in: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join("mesh").join(name))
}

/// The full path of a command, looked for in `PATH` and in the folders that only root's
/// `PATH` has.
pub(crate) fn find_command(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// `path` as a user would type it here: relative when it lies below the current folder.
pub(crate) fn typed(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
