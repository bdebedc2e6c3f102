//! A kind node image, and what makes a cluster of it, from Debian packages and Go modules.
//!
//! What is made bears a hash of its recipe, so a changed recipe is made anew and an unchanged
//! one never; what was half made is begun again.

mod debian;
mod go;
mod image;
mod node;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(super) use self::image::{COREDNS_TAG, ETCD_TAG, REPOSITORY};
use super::engine;
use crate::docker::Docker;

/// What was made.
pub(super) struct Made {
    /// For `kind create cluster`.
    pub(super) node_image: String,
    /// The folder of `kind` and `kubectl`.
    pub(super) bin: PathBuf,
}

/// Everything that decides what the images are.
fn recipe(parts: &[&[&str]]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    engine::lacks_sys_resource().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The Debian with iptables under the mesh's own images.
pub(super) fn base_image() -> String {
    format!("localhost/mesh-base:{}", recipe(&[debian::BASE]))
}

fn node_recipe() -> String {
    recipe(&[debian::BASE, debian::NODE, go::RECIPE, node::RECIPE])
}

/// Where `kind` and `kubectl` are, once they are made.
pub(super) fn bin(cache: &Path) -> PathBuf {
    cache.join("go")
}

/// Whether they are.
pub(super) fn has_bin(cache: &Path) -> bool {
    ["kind", "kubectl"].iter().all(|program| bin(cache).join(program).is_file())
}

/// Makes what is not there yet.
///
/// # Errors
/// When a package cannot be had, and when a step fails, with the end of what it said.
pub(super) fn make(docker: &Docker, cache: &Path) -> Result<Made> {
    let base = base_image();
    let node_image = format!("localhost/kind-node:{}", node_recipe());
    let made = Made { node_image, bin: bin(cache) };
    let work = cache.join("work");
    if !docker.has_image(&base)? {
        clear(&work)?;
        debian::import(docker, debian::BASE, &base, cache, &work)?;
        docker.remove_older(&base)?;
    }
    if !has_bin(cache) || !docker.has_image(&made.node_image)? {
        clear(&work)?;
        make_node(docker, cache, &work, &base, &made)?;
        docker.remove_older(&made.node_image)?;
    }
    remove(&work)?;
    Ok(made)
}

fn make_node(docker: &Docker, cache: &Path, work: &Path, base: &str, made: &Made) -> Result<()> {
    let kind_files = go::build(&made.bin, work)?;
    image::kubernetes(docker, &made.bin, base, &work.join("kubernetes"))?;
    let archive = image::save(docker, &work.join("node"))?;
    let debian = "localhost/kind-debian:latest";
    debian::import(docker, debian::NODE, debian, cache, work)?;
    node::build(docker, &made.bin, &kind_files, &archive, debian, &made.node_image)?;
    image::forget(docker, debian)
}

/// Makes it an empty folder.
fn clear(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_recipe_has_another_name() {
        assert_eq!(recipe(&[&["a", "b"]]), recipe(&[&["a", "b"]]));
        assert_ne!(recipe(&[&["a", "b"]]), recipe(&[&["a"], &["b"]]));
        assert_ne!(recipe(&[&["a", "b"]]), recipe(&[&["a", "c"]]));
    }
}
