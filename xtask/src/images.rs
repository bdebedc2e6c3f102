//! The container images: what xtask built, on a base, in Docker.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::docker::Docker;
use crate::{build, cluster, command, paths, progress};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// With fat LTO, as they are shipped and measured. Slow.
    #[arg(long)]
    release: bool,
    /// What to build them on: a Debian with glibc 2.36 or later, or what has the same.
    #[arg(long, value_name = "IMAGE")]
    base_image: Option<String>,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A target of deploy/Dockerfile, and the binaries in it.
struct Image {
    target: &'static str,
    binaries: &'static [&'static str],
}

const IMAGES: [Image; 4] = [
    Image { target: "proxy", binaries: &["mesh-agent", "mesh-proxy"] },
    Image { target: "pilot", binaries: &["mesh-pilot"] },
    Image { target: "bookinfo", binaries: &["bookinfo"] },
    Image { target: "load", binaries: &["mesh-load"] },
];

/// Their names, with the tag that pods ask for when they name none.
fn names() -> Vec<String> {
    names_with("latest")
}

/// Their names by every tag that something asks for: pods that name none, and the chart.
pub(crate) fn all_names() -> Vec<String> {
    ["latest", VERSION].into_iter().flat_map(names_with).collect()
}

/// Their names with this tag.
pub(crate) fn names_with(tag: &str) -> Vec<String> {
    IMAGES.iter().map(|image| image.name(tag)).collect()
}

/// Builds the binaries, then the images, and prints how large they are.
///
/// # Errors
/// When cargo or Docker fail.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Known before the minutes that building takes.
    let (docker, base) = cluster::builder()?;
    let binaries = build::build(args.release)?;
    build(&docker, &binaries, args.base_image.clone().or(base).as_deref())?;
    print_sizes(&docker)
}

/// Builds the images of these binaries, on `base` or what the Dockerfile names.
///
/// # Errors
/// When Docker fails.
pub(crate) fn build(docker: &Docker, binaries: &Path, base: Option<&str>) -> Result<()> {
    // One for all images: Docker's older builder goes through all stages of a file.
    let context = tempfile::tempdir().context("making a temporary folder")?;
    for binary in IMAGES.iter().flat_map(|image| image.binaries) {
        copy_stripped(&binaries.join(binary), &context.path().join(binary))?;
    }
    IMAGES.iter().try_for_each(|image| image.build(docker, base, context.path()))
}

/// Names the images that were built last by a tag of their own, which says what is in them,
/// and gives it: no cluster takes others of the same name for them.
///
/// # Errors
/// When Docker fails.
pub(crate) fn tag_by_content(docker: &Docker) -> Result<String> {
    let mut inspect = docker.command();
    inspect.args(["image", "inspect", "--format", "{{.Id}}"]).args(names());
    let mut hasher = DefaultHasher::new();
    command::read(&mut inspect)?.hash(&mut hasher);
    let tag = format!("{VERSION}-{:016x}", hasher.finish());
    for image in &IMAGES {
        let [latest, tagged] = ["latest", &tag].map(|tag| image.name(tag));
        command::read(docker.command().args(["tag", &latest, &tagged]))?;
        // Each change makes another one, of tens of megabytes.
        let by_content = image.name(&format!("{VERSION}-"));
        docker.remove_others(&tagged, |name| name.starts_with(&by_content))?;
    }
    docker.prune()?;
    Ok(tag)
}

impl Image {
    fn name(&self, tag: &str) -> String {
        format!("mesh/{}:{tag}", self.target)
    }

    fn tags(&self) -> [String; 2] {
        [VERSION, "latest"].map(|tag| self.name(tag))
    }

    fn build(&self, docker: &Docker, base: Option<&str>, context: &Path) -> Result<()> {
        let mut build = docker.command();
        build.args(["build", "--target", self.target, "--file"]);
        build.arg(paths::root().join("deploy/Dockerfile"));
        build.args(["--build-arg", &format!("VERSION={VERSION}")]);
        if let Some(revision) = revision() {
            build.args(["--build-arg", &format!("REVISION={revision}")]);
        }
        if let Some(base) = base {
            build.args(["--build-arg", &format!("BASE_IMAGE={base}")]);
        }
        build.args(self.tags().iter().flat_map(|tag| ["--tag", tag])).arg(context);
        progress::watch(&format!("image mesh/{}", self.target), None, &mut build).map(drop)
    }
}

/// The commit, and whether something was changed since; `None` where there is no git.
fn revision() -> Option<String> {
    let mut git = Command::new("git");
    git.current_dir(paths::root()).args(["describe", "--always", "--dirty", "--abbrev=40"]);
    Some(command::read(&mut git).ok()?.trim().to_owned())
}

/// Without what only a debugger reads, which is most of a binary that was built for tests.
fn copy_stripped(from: &Path, to: &Path) -> Result<()> {
    if paths::find_command("strip").is_some() {
        let mut strip = Command::new("strip");
        return command::read(strip.arg("--strip-debug").arg("-o").arg(to).arg(from)).map(drop);
    }
    fs::copy(from, to).map(drop).with_context(|| from.display().to_string())
}

fn print_sizes(docker: &Docker) -> Result<()> {
    for name in names() {
        let mut inspect = docker.command();
        inspect.args(["image", "inspect", "--format", "{{.Size}}", &name]);
        let size: f64 = command::read(&mut inspect)?.trim().parse().context("an image's size")?;
        println!("{name:<24} {:>7.1} MB", size / 1e6);
    }
    Ok(())
}
