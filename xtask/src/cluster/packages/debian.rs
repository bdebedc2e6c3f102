//! Debian in an image.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::remove;
use crate::docker::Docker;
use crate::progress;

const SUITE: &str = "bookworm";

/// Packages of the mesh's own images and of the control plane's: iptables and ip, for the init
/// step of a pod and for kube-proxy.
pub(super) const BASE: &[&str] =
    &[SUITE, "ca-certificates", "conntrack", "iproute2", "iptables", "kmod", "nftables"];

/// Packages of a node: what kind's files for one ask for.
pub(super) const NODE: &[&str] = &[
    SUITE,
    "bash",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "ethtool",
    "findutils",
    "hostname",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "libseccomp2",
    "mount",
    "nftables",
    "procps",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
    "util-linux",
];

/// Of no use in a container.
const CLUTTER: [&str; 5] =
    ["usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"];

/// Makes `image` of a suite and packages on top of its smallest system. Packages are kept in
/// `cache`.
///
/// # Errors
/// When a package cannot be had or installed.
pub(super) fn import(
    docker: &Docker,
    suite_and_packages: &[&str],
    image: &str,
    cache: &Path,
    work: &Path,
) -> Result<()> {
    let (suite, packages) = suite_and_packages.split_first().context("no suite")?;
    let packages = packages.join(",");
    let debs = cache.join("debs");
    fs::create_dir_all(&debs).with_context(|| debs.display().to_string())?;
    let (root, archive) = (work.join("debian"), work.join("debian.tar"));
    remove(&root)?;
    // What it mounts must not outlive it.
    let mut debootstrap = Command::new("unshare");
    debootstrap.args(["--mount", "debootstrap", "--variant=minbase"]);
    debootstrap.arg(format!("--include={packages}")).arg(format!("--cache-dir={}", debs.display()));
    debootstrap.arg(suite).arg(&root);
    let name = image.trim_start_matches("localhost/").split(':').next().unwrap_or_default();
    progress::watch(&format!("Debian packages for {name}"), None, &mut debootstrap)?;
    for folder in CLUTTER {
        remove(&root.join(folder))?;
    }
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(&root).arg("--create").arg("--file").arg(&archive).arg(".");
    progress::watch(&format!("{name}: archive"), None, &mut tar)?;
    let mut import = docker.command();
    import.arg("import").arg(&archive).arg(image);
    progress::watch(&format!("{name}: import"), None, &mut import)?;
    remove(&root)?;
    fs::remove_file(&archive).with_context(|| archive.display().to_string())
}
