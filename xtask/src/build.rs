//! Building the mesh's binaries, with progress.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::command::{self, cargo};
use crate::paths;

/// The packages with the binaries that make a mesh, and the two that run in it.
const PACKAGES: [&str; 6] =
    ["mesh-proxy", "mesh-pilot", "mesh-agent", "meshctl", "bookinfo", "mesh-load"];

/// Builds every binary and gives the folder that they are in.
///
/// # Errors
/// When cargo fails; it has printed why.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    build_packages(&PACKAGES, release)
}

/// Builds these packages' binaries and gives the folder that they are in.
///
/// # Errors
/// When cargo fails; it has printed why.
pub(crate) fn build_packages(names: &[&str], release: bool) -> Result<PathBuf> {
    let start = Instant::now();
    let packages: Vec<&str> = names.iter().flat_map(|package| ["--package", package]).collect();
    let mut cargo = cargo();
    cargo.arg("build").args(&packages);
    if release {
        cargo.arg("--release");
    }
    if std::io::stderr().is_terminal() {
        with_bar(cargo, &packages)?;
    } else {
        command::run(&mut cargo)?;
    }
    let folder = paths::target_dir()?.join(if release { "release" } else { "debug" });
    eprintln!(
        "built {} in {:.0} s: {}",
        names.join(", "),
        start.elapsed().as_secs_f64(),
        paths::typed(&folder)
    );
    Ok(folder)
}

/// Builds tests and binaries in one go and gives the folder of the binaries. Apart, they
/// would have the crates that they share built twice, as tests ask for more features.
///
/// # Errors
/// When cargo fails; it has printed why.
pub(crate) fn build_all() -> Result<PathBuf> {
    command::run(cargo().args(["build", "--workspace", "--all-targets"]))?;
    Ok(paths::target_dir()?.join("debug"))
}

fn with_bar(mut cargo: std::process::Command, packages: &[&str]) -> Result<()> {
    let total = count_packages(packages)?;
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("building [{bar:30}] {pos}/{len} {elapsed} {msg}")?;
    bar.set_style(style.progress_chars("=> "));
    cargo.args(["--quiet", "--message-format=json-render-diagnostics"]).stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo's output")?;
    let mut seen = HashSet::new();
    for line in BufReader::new(stdout).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        let (Some(package), Some(name)) =
            (message["package_id"].as_str(), message["target"]["name"].as_str())
        else {
            continue;
        };
        if seen.insert(package.to_owned()) {
            if name != "build-script-build" {
                bar.set_message(name.to_owned());
            }
            bar.set_position(total.min(seen.len() as u64));
        }
    }
    bar.finish_and_clear();
    let status = child.wait()?;
    ensure!(status.success(), "cargo build: {status}");
    Ok(())
}

/// How many packages the build has; an estimate, as cargo does not tell the steps.
fn count_packages(packages: &[&str]) -> Result<u64> {
    let mut tree = cargo();
    tree.args(["tree", "--prefix=none", "--edges=normal,build", "--format={p}"]).args(packages);
    let output = tree.stderr(Stdio::inherit()).output().context("cannot start cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let names: HashSet<&str> =
        text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|l| !l.is_empty()).collect();
    Ok(names.len() as u64)
}
