//! The container images: what xtask built, on a base, in Docker.

use std::fs;
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

const IMAGES: [Image; 3] = [
    Image { target: "proxy", binaries: &["mesh-agent", "mesh-proxy"] },
    Image { target: "pilot", binaries: &["mesh-pilot"] },
    Image { target: "bookinfo", binaries: &["bookinfo"] },
];

/// Their names, with the tag that pods ask for when they name none.
pub(crate) fn names() -> Vec<String> {
    IMAGES.iter().map(|image| format!("mesh/{}:latest", image.target)).collect()
}

/// Builds the binaries, then the images, and prints how large they are.
///
/// # Errors
/// When cargo or Docker fail.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Known before the minutes that building takes.
    let (docker, base) = cluster::builder()?;
    let binaries = build::build(args.release)?;
    // One for all images: Docker's older builder goes through all stages of a file.
    let context = tempfile::tempdir().context("making a temporary folder")?;
    for binary in IMAGES.iter().flat_map(|image| image.binaries) {
        copy_stripped(&binaries.join(binary), &context.path().join(binary))?;
    }
    let base = args.base_image.clone().or(base);
    for image in &IMAGES {
        image.build(&docker, base.as_deref(), context.path())?;
    }
    print_sizes(&docker)
}

impl Image {
    fn tags(&self) -> [String; 2] {
        [VERSION, "latest"].map(|tag| format!("mesh/{}:{tag}", self.target))
    }

    fn build(&self, docker: &Docker, base: Option<&str>, context: &Path) -> Result<()> {
        let mut build = docker.command();
        build.args(["build", "--target", self.target, "--file"]);
        build.arg(paths::root().join("deploy/Dockerfile"));
        build.args(["--build-arg", &format!("VERSION={VERSION}")]);
        if let Some(base) = base {
            build.args(["--build-arg", &format!("BASE_IMAGE={base}")]);
        }
        build.args(self.tags().iter().flat_map(|tag| ["--tag", tag])).arg(context);
        progress::watch(&format!("image mesh/{}", self.target), None, &mut build).map(drop)
    }
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
