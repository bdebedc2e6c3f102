//! The files that are generated and checked in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo};
use crate::{paths, tools};

/// A folder, and the program that makes what is in it: cargo's arguments for it, and where it is
/// among the binaries once it is built.
struct Generated {
    folder: &'static str,
    generator: &'static [&'static str],
    built: &'static str,
}

const GENERATED: [Generated; 2] = [
    Generated {
        folder: "mesh-proto/src/generated",
        generator: &["--package", "mesh-proto-codegen"],
        built: "mesh-proto-codegen",
    },
    Generated {
        folder: "deploy/crds",
        generator: &["--package", "mesh-rules", "--example", "crds"],
        built: "examples/crds",
    },
];

/// Makes every generated file anew; with `check` only compares.
///
/// # Errors
/// When a generator fails; with `check` also when a file differs.
pub(crate) fn run(check: bool) -> Result<()> {
    tools::install(tools::Purpose::Codegen, false)?;
    GENERATED.iter().try_for_each(|generated| {
        let mut generator = cargo();
        generator.args(["run", "--quiet"]).args(generated.generator).arg("--");
        generated.run(generator, check)
    })
}

/// Compares as [`run`] does, with what [`build_all`](crate::build::build_all) has built in this
/// folder: alone, the generators would have what they need built a second time.
///
/// # Errors
/// As [`run`].
pub(crate) fn check_from(folder: &Path) -> Result<()> {
    tools::install(tools::Purpose::Codegen, false)?;
    GENERATED
        .iter()
        .try_for_each(|generated| generated.run(Command::new(folder.join(generated.built)), true))
}

impl Generated {
    fn run(&self, mut generator: Command, check: bool) -> Result<()> {
        let folder = paths::root().join(self.folder);
        let fresh = tempfile::tempdir().context("making a temporary folder")?;
        command::run(generator.arg(fresh.path()))?;
        update(&folder, fresh.path(), check)
    }
}

fn update(folder: &Path, fresh: &Path, check: bool) -> Result<()> {
    let (old, new) = (read(folder)?, read(fresh)?);
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let differing: Vec<_> = names.filter(|name| old.get(*name) != new.get(*name)).collect();
    if check {
        ensure!(
            differing.is_empty(),
            "{} is not what its sources make: {differing:?} differ; run `cargo xtask codegen` \
             and commit the result",
            paths::typed(folder)
        );
        return Ok(());
    }
    for name in &differing {
        let path = folder.join(name);
        match new.get(*name) {
            Some(bytes) => std::fs::write(&path, bytes),
            None => std::fs::remove_file(&path),
        }
        .with_context(|| path.display().to_string())?;
    }
    eprintln!("{} of {} files changed in {}", differing.len(), new.len(), paths::typed(folder));
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        files.insert(entry.file_name(), bytes);
    }
    Ok(files)
}
