//! The images that kubeadm asks for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::go::{KUBERNETES, file_name};
use crate::docker::Docker;
use crate::{command, progress};

/// Where kubeadm is told to look: nothing of that name can be pulled from anywhere.
pub(in crate::cluster) const REPOSITORY: &str = "localhost/kubernetes";
pub(in crate::cluster) const COREDNS_TAG: &str = "v1.12.4";
pub(in crate::cluster) const ETCD_TAG: &str = "v3.6.5";
const PAUSE_TAG: &str = "3.10.1";

/// One image for all but CoreDNS: kubeadm says which program to run, except for pause's.
const DOCKERFILE: &str = "\
ARG BASE_IMAGE
FROM $BASE_IMAGE AS kubernetes
COPY bin/ /usr/local/bin/
ENTRYPOINT [\"/usr/local/bin/pause\"]
FROM kubernetes AS coredns
ENTRYPOINT [\"/usr/local/bin/coredns\"]
";

const PROGRAMS: [&str; 7] = [
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "pause",
];

/// The image that holds a pod's namespaces.
pub(super) fn pause() -> String {
    format!("{REPOSITORY}/pause:{PAUSE_TAG}")
}

fn coredns() -> String {
    format!("{REPOSITORY}/coredns:{COREDNS_TAG}")
}

fn kubernetes_tags() -> Vec<String> {
    let programs = ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"];
    let mut tags: Vec<String> =
        programs.iter().map(|program| format!("{REPOSITORY}/{program}:{KUBERNETES}")).collect();
    tags.extend([format!("{REPOSITORY}/etcd:{ETCD_TAG}"), pause()]);
    tags
}

/// Builds them on `base`; `context` is a folder that is not there yet.
///
/// # Errors
/// When Docker fails.
pub(super) fn kubernetes(docker: &Docker, built: &Path, base: &str, context: &Path) -> Result<()> {
    let bin = context.join("bin");
    fs::create_dir_all(&bin).with_context(|| bin.display().to_string())?;
    for program in PROGRAMS {
        fs::hard_link(built.join(file_name(program)), bin.join(program)).context(program)?;
    }
    let dockerfile = context.join("Dockerfile");
    fs::write(&dockerfile, DOCKERFILE).with_context(|| dockerfile.display().to_string())?;
    for (target, tags) in [("kubernetes", kubernetes_tags()), ("coredns", vec![coredns()])] {
        let mut build = docker.command();
        build.args(["build", "--target", target, "--build-arg", &format!("BASE_IMAGE={base}")]);
        build.args(tags.iter().flat_map(|tag| ["--tag", tag])).arg(context);
        progress::watch(&format!("image of {target}"), None, &mut build)?;
    }
    Ok(())
}

/// Puts them all into one archive in `folder`, which it makes.
///
/// # Errors
/// When Docker fails.
pub(super) fn save(docker: &Docker, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let archive = folder.join("images.tar");
    let mut save = docker.command();
    save.args(["save", "--output"]).arg(&archive).args(kubernetes_tags()).arg(coredns());
    progress::watch("archive of the images", None, &mut save)?;
    Ok(archive)
}

/// Removes what the node's image has taken in.
///
/// # Errors
/// When Docker fails.
pub(super) fn forget(docker: &Docker, debian: &str) -> Result<()> {
    let mut remove = docker.command();
    remove.args(["image", "rm", debian]).args(kubernetes_tags()).arg(coredns());
    command::read(&mut remove)?;
    command::read(docker.command().args(["image", "prune", "--force"])).map(drop)
}
