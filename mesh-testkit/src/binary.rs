//! The mesh's own programs.
//!
//! A test of crate X has `env!("CARGO_BIN_EXE_…")` for X's programs; this is for the others'.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

/// The program of this name, whose package has the same name.
///
/// With `MESH_BIN_DIR` set (`cargo xtask test` does) it is taken from that folder. Else it is
/// built first, in this test's own profile and target folder, once per process.
///
/// # Panics
/// When it is not there or does not build.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("MESH_BIN_DIR") {
        let path = PathBuf::from(folder).join(name);
        assert!(path.is_file(), "{} is not there (from MESH_BIN_DIR)", path.display());
        return path;
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    built.entry(name.to_owned()).or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", name]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo.arg("--target-dir").arg(profile.parent().expect("a target folder"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo");
    assert!(status.success(), "{cargo:?}: {status}");
    profile.join(name)
}
