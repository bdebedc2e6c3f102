//! Helm, with which our reading of the chart is compared: built from its Go module, whose
//! content Go checks against the public checksum database.

use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::{self, find_command};
use crate::progress;

const VERSION: &str = "v3.18.6";

/// Builds it into the tools folder, once; minutes.
///
/// # Errors
/// When there is no Go, or the module cannot be had.
pub(super) fn build() -> Result<()> {
    let bin = paths::tools_dir()?.join("bin");
    if bin.join("helm").is_file() {
        return Ok(());
    }
    find_command("go").context(
        "go is missing: Helm, with which tests compare the chart, is built from its Go module; \
         install Go 1.24 or later",
    )?;
    let mut install = Command::new("go");
    install.args(["install", "-v", "-trimpath", "-ldflags", "-s -w"]);
    install.arg(format!("helm.sh/helm/v3/cmd/helm@{VERSION}"));
    // Somewhere without a module of ours.
    install.current_dir(std::env::temp_dir());
    install.envs([("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=mod"), ("GOWORK", "off")]);
    progress::watch(&format!("Helm {VERSION}"), None, install.env("GOBIN", bin)).map(drop)
}
