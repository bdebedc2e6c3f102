//! The node's image: Debian with systemd and containerd, kind's own files for a node, and the
//! control plane's images.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::go::KUBERNETES;
use super::image;
use crate::cluster::engine;
use crate::docker::Docker;
use crate::progress;

const DOCKERFILE: &str = include_str!("../../../kind-node/Dockerfile");
const NETWORK: &str = include_str!("../../../kind-node/bridge.conflist");
const STORAGE: &str = include_str!("../../../kind-node/storage.yaml");

pub(super) const RECIPE: &[&str] =
    &[DOCKERFILE, NETWORK, STORAGE, image::REPOSITORY, image::COREDNS_TAG, image::ETCD_TAG];

/// Builds it in the folder of `archive`, which has the control plane's images.
///
/// # Errors
/// When Docker fails, or kind's files are not what this knows.
pub(super) fn build(
    docker: &Docker,
    built: &Path,
    kind_files: &Path,
    archive: &Path,
    debian: &str,
    tag: &str,
) -> Result<()> {
    let context = archive.parent().context("the archive's folder")?;
    let files = context.join("files");
    for folder in ["etc", "kind", "usr"] {
        copy_tree(&kind_files.join(folder), &files.join(folder))?;
    }
    edit_containerd_config(&files.join("etc/containerd/config.toml"))?;
    for program in ["kubeadm", "kubectl", "kubelet"] {
        link(&built.join(program), &files.join("usr/bin").join(program))?;
    }
    write(&files.join("kind/version"), KUBERNETES)?;
    write(&files.join("kind/manifests/default-storage.yaml"), STORAGE)?;
    write(&files.join("etc/cni/net.d/10-bridge.conflist"), NETWORK)?;
    write(&context.join("Dockerfile"), DOCKERFILE)?;

    let mut build = docker.command();
    build.args(["build", "--build-arg", &format!("BASE_IMAGE={debian}"), "--tag", tag]);
    progress::watch("image of the node", None, build.arg(context)).map(drop)
}

/// Names our image of pause, and where an OOM score cannot be lowered, says so.
fn edit_containerd_config(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let text = containerd_config(&text, &image::pause(), engine::lacks_sys_resource())
        .with_context(|| path.display().to_string())?;
    write(path, &text)
}

fn containerd_config(text: &str, pause: &str, restrict_oom: bool) -> Result<String> {
    let mut changed = 0;
    let set = |line: &str, key: &str, value: &str| {
        let indent = line.len() - line.trim_start().len();
        format!("{}{key} = {value}", &line[..indent])
    };
    let lines = text.lines().map(|line| {
        let key = line.split('=').next().unwrap_or_default().trim();
        changed += usize::from(matches!(key, "sandbox_image" | "restrict_oom_score_adj"));
        match key {
            "sandbox_image" => set(line, key, &format!("{pause:?}")),
            "restrict_oom_score_adj" => set(line, key, &restrict_oom.to_string()),
            _ => line.to_owned(),
        }
    });
    let text: String = lines.map(|line| line + "\n").collect();
    ensure!(
        changed == 2,
        "expected one sandbox_image and one restrict_oom_score_adj, found {changed}"
    );
    Ok(text)
}

/// Programs stay programs; everything can be written, unlike in Go's cache of modules.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            let is_program = from.parent().is_some_and(|folder| folder.ends_with("bin"));
            copy(&from, &to, is_program)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, is_program: bool) -> Result<()> {
    make_parent(to)?;
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .with_context(|| to.display().to_string())
}

fn link(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    fs::hard_link(from, to).with_context(|| from.display().to_string())
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn make_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_containerd_s_configuration() {
        let text = "[plugins.cri]\n  # fixed\n  sandbox_image = \"x/pause:1\"\n  \
                    restrict_oom_score_adj = false\n";
        assert_eq!(
            containerd_config(text, "localhost/pause:2", true).unwrap(),
            "[plugins.cri]\n  # fixed\n  sandbox_image = \"localhost/pause:2\"\n  \
             restrict_oom_score_adj = true\n"
        );
        let error = containerd_config("[plugins.cri]\n", "p", false).unwrap_err();
        assert!(error.to_string().contains("found 0"), "{error}");
    }
}
