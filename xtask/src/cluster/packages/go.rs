//! Kubernetes, kind, etcd and CoreDNS, built from their Go modules. The modules are pinned,
//! with their hashes, in `xtask/kind-node`; Go keeps them, and what it compiled, in its caches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::{self, find_command};
use crate::{command, progress};

/// The release of Kubernetes in `kubernetes/go.mod`. 1.35 and later refuse control groups of
/// version 1, which machines like CI's still have.
pub(super) const KUBERNETES: &str = "v1.34.4";

pub(super) const RECIPE: &[&str] = &[
    KUBERNETES,
    include_str!("../../../kind-node/kubernetes/go.mod"),
    include_str!("../../../kind-node/services/go.mod"),
    include_str!("../../../kind-node/services/pause/main.go"),
];

/// Builds every program into `to`, unless it is there and right, and gives the folder of
/// kind's own files for a node. Go's temporary files are in `work`.
///
/// # Errors
/// When there is no Go, a module cannot be had, or something does not compile.
pub(super) fn build(to: &Path, work: &Path) -> Result<PathBuf> {
    find_command("go").context(
        "go is missing: Kubernetes is built from its Go modules; install Go 1.24 or later \
         (Debian's own may be older)",
    )?;
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    compile("services", &["tool", "kind-node/services/pause"], "", to, work)?;
    compile("kubernetes", &["tool"], &version_flags(), to, work)?;
    let mut list = go("kubernetes");
    let kind = command::read(list.args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind"]))?;
    Ok(Path::new(kind.trim_end()).join("images/base/files"))
}

fn compile(module: &str, packages: &[&str], flags: &str, to: &Path, work: &Path) -> Result<()> {
    let label = |what| format!("{module}: {what}");
    let mut list = go(module);
    list.args(["list", "-deps"]).args(packages);
    // At most so many: of what it compiled before, go says nothing.
    let total = progress::watch(&label("Go modules"), None, &mut list)?;
    let flags = format!("-s -w {flags}");
    let mut build = go(module);
    build.args(["build", "-v", "-trimpath", "-ldflags", &flags, "-o"]).arg(to).args(packages);
    // In the same file system: a program comes to its place whole or not at all.
    build.env("GOTMPDIR", work);
    progress::watch(&label("compile"), Some(total), &mut build).map(drop)
}

/// go names a program by its package, and etcd's is called server.
pub(super) fn file_name(program: &str) -> &str {
    if program == "etcd" { "server" } else { program }
}

/// Without them the programs do not know which version they are.
fn version_flags() -> String {
    let mut parts = KUBERNETES.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    [
        ("gitVersion", KUBERNETES),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
    ]
    .map(|(name, value)| format!("-X k8s.io/component-base/version.{name}={value}"))
    .join(" ")
}

/// go in that module's folder, which it must not change. Its programs run without libc.
fn go(module: &str) -> Command {
    let mut go = Command::new("go");
    go.current_dir(paths::root().join("xtask/kind-node").join(module));
    go.envs([
        ("CGO_ENABLED", "0"),
        ("GOWORK", "off"),
        ("GOFLAGS", "-mod=readonly -buildvcs=false"),
    ]);
    go
}
