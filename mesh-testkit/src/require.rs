//! What a test needs of the machine. None is left out silently.

use std::path::PathBuf;

/// Says loudly that the calling test does not run. Panics under `CI=true`, where every test
/// must run.
pub fn missing(what: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "with CI=true every test must run, but {what}");
    eprintln!("\n*** THIS TEST DID NOT RUN: {what}\n");
}

/// Whether this is root; when not, as [`missing`].
#[must_use]
pub fn require_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        missing("it needs root");
    }
    root
}

/// The path of a command from `PATH` or root's folders; when it is not there, as [`missing`].
#[must_use]
pub fn require_command(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        missing(&format!("the command {name} is not installed: `cargo xtask tools` does it"));
    }
    found
}
