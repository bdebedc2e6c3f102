//! Programs that are built from their Go modules, whose content Go checks against the public
//! checksum database: Helm, with which our reading of the chart is compared, h2spec, and
//! what one looks at gRPC and load with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;
use crate::paths::{self, find_command};
use crate::progress;

/// A program, built once into the tools folder.
pub(super) struct Program {
    name: &'static str,
    package: &'static str,
    from: From,
}

enum From {
    /// The package's module at this version, which says what it is made of.
    Version(&'static str),
    /// A module of ours that says so, for a package whose own does not.
    Folder(&'static str),
}

pub(super) const HELM: Program =
    Program { name: "helm", package: "helm.sh/helm/v3/cmd/helm", from: From::Version("v3.18.6") };
pub(super) const H2SPEC: Program = Program {
    name: "h2spec",
    package: "github.com/summerwind/h2spec/cmd/h2spec",
    from: From::Folder("xtask/go-tools/h2spec"),
};
pub(super) const GRPCURL: Program = Program {
    name: "grpcurl",
    package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    from: From::Version("v1.9.3"),
};
pub(super) const FORTIO: Program =
    Program { name: "fortio", package: "fortio.org/fortio", from: From::Version("v1.66.5") };

const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.3.0";

impl Program {
    /// Builds it into the tools folder, once; up to minutes.
    ///
    /// # Errors
    /// When there is no Go, or the module cannot be had.
    pub(super) fn build(&self) -> Result<()> {
        let bin = paths::tools_dir()?.join("bin");
        if bin.join(self.name).is_file() {
            return Ok(());
        }
        needs_go(&format!("{} is built from its Go module", self.name))?;
        let mut build = self.command(&bin);
        build.envs([("CGO_ENABLED", "0"), ("GOWORK", "off")]);
        progress::watch(self.name, None, &mut build).map(drop)
    }

    fn command(&self, bin: &Path) -> Command {
        let mut go = Command::new("go");
        let flags = ["-v", "-trimpath", "-ldflags", "-s -w"];
        match self.from {
            From::Version(version) => {
                go.arg("install").args(flags).arg(format!("{}@{version}", self.package));
                outside_of_modules(&mut go).env("GOBIN", bin);
            }
            From::Folder(folder) => {
                go.args(["build", "-mod=readonly"]).args(flags);
                go.arg("-o").arg(bin.join(self.name)).arg(self.package);
                go.current_dir(paths::root().join(folder));
            }
        }
        go
    }
}

/// The folder of the Gateway API's CRDs, of the standard channel, in Go's cache of modules.
///
/// # Errors
/// When there is no Go, or the module cannot be had.
pub(super) fn gateway_api_crds() -> Result<PathBuf> {
    needs_go("the Gateway API's CRDs are in its Go module")?;
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", GATEWAY_API]);
    let said = command::read(outside_of_modules(&mut download))?;
    let said: Value = serde_json::from_str(&said).context(GATEWAY_API)?;
    let folder = said["Dir"].as_str().with_context(|| format!("{GATEWAY_API}: no folder"))?;
    Ok(Path::new(folder).join("config/crd/standard"))
}

fn needs_go(why: &str) -> Result<()> {
    let missing = || format!("go is missing: {why}; install Go 1.24 or later");
    find_command("go").with_context(missing).map(drop)
}

/// Somewhere without a module of ours.
fn outside_of_modules(go: &mut Command) -> &mut Command {
    go.current_dir(std::env::temp_dir()).env("GOFLAGS", "-mod=mod")
}
