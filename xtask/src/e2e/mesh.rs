//! The mesh that is installed in the cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::place::Place;
use super::{Args, Figures};
use crate::command;
use crate::kube::Kube;

/// Where its control plane is.
pub(super) const NAMESPACE: &str = "mesh-system";

/// The second control plane of a test.
pub(super) const CANARY: &str = "canary";
const CANARY_PILOT: &str = "mesh-pilot-canary";

/// The label of every namespace that a test has made.
pub(super) const TEST_LABEL: &str = "mesh-e2e";

const INSTALL_LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Mesh {
    pub(super) kube: Kube,
    meshctl: PathBuf,
    hub: String,
    /// Of all images; `None` when the mesh was there before, with its own.
    tag: Option<String>,
    /// More values of the chart.
    values: Vec<String>,
}

impl Mesh {
    pub(super) fn new(place: &Place, bin: &Path, args: &Args, tag: Option<String>) -> Self {
        let hub = args.hub.clone().unwrap_or_else(|| "mesh".to_owned());
        let (kube, values) = (place.kube.clone(), args.set.clone());
        Self { kube, meshctl: bin.join("meshctl"), hub, tag, values }
    }

    /// What the cluster calls the image `mesh/NAME`.
    pub(super) fn image(&self, name: &str) -> String {
        let tag = self.tag.as_deref().unwrap_or("latest");
        format!("{}/{name}:{tag}", self.hub)
    }

    /// A manifest with the images of this run in the place of each `mesh/NAME` without a tag.
    pub(super) fn with_images(&self, manifest: &str) -> String {
        let line = |line: &str| match line.split_once("image: mesh/") {
            Some((before, name)) if !name.contains(':') => {
                format!("{before}image: {}\n", self.image(name.trim()))
            }
            _ => format!("{line}\n"),
        };
        manifest.lines().map(line).collect()
    }

    /// meshctl for this cluster.
    pub(super) fn meshctl(&self, args: &[&str]) -> Command {
        let mut meshctl = self.kube.command(&self.meshctl);
        // A mesh that runs on this machine is not meant.
        meshctl.args(args).env("MESH_LOCAL_STATE", "/nonexistent");
        meshctl
    }

    /// `meshctl install` of this run's images with more arguments; what is there already is
    /// brought to the same.
    ///
    /// # Errors
    /// When meshctl fails.
    pub(super) fn install(&self, more: &[&str]) -> Result<()> {
        self.bring("install", more)
    }

    /// `meshctl upgrade` to this run's images with more arguments.
    ///
    /// # Errors
    /// When meshctl fails.
    pub(super) fn upgrade(&self, more: &[&str]) -> Result<()> {
        self.bring("upgrade", more)
    }

    fn bring(&self, how: &str, more: &[&str]) -> Result<()> {
        let mut values = vec![format!("hub={}", self.hub)];
        values.extend(self.tag.iter().map(|tag| format!("tag={tag}")));
        values.extend_from_slice(&self.values);
        let mut args = vec![how, "--yes", "--timeout", "5m", "--profile", "demo"];
        args.extend(values.iter().flat_map(|value| ["--set", value]));
        command::run(&mut self.meshctl(&[&args, more].concat()))
    }

    /// As [`install`](Self::install), with the time that it took until all was ready.
    ///
    /// # Errors
    /// When meshctl fails.
    pub(super) fn install_timed(&self) -> Result<Figures> {
        let start = Instant::now();
        self.install(&[])?;
        let (took, limit) = (start.elapsed().as_secs_f64(), INSTALL_LIMIT.as_secs_f64());
        Ok(Figures::default().within("install to ready", took, limit, "s"))
    }

    /// Takes it out of the cluster, with all that it has made.
    ///
    /// # Errors
    /// When meshctl fails.
    pub(super) fn uninstall(&self) -> Result<()> {
        command::run(&mut self.meshctl(&["uninstall", "--purge", "--yes"]))
    }

    /// Takes one revision's control plane out of the cluster.
    ///
    /// # Errors
    /// When meshctl fails.
    pub(super) fn uninstall_revision(&self, name: &str) -> Result<()> {
        command::run(&mut self.meshctl(&["uninstall", "--revision", name, "--yes"]))
    }

    /// Removes what tests that were run before have left, as when they were killed.
    ///
    /// # Errors
    /// When kubectl or meshctl fail.
    pub(super) fn sweep(&self) -> Result<()> {
        let delete = ["delete", "namespaces", "--selector", TEST_LABEL, "--timeout=300s"];
        self.kube.read(&delete)?;
        let canary = ["get", "deployments", "--ignore-not-found", "--output=name"];
        let canary = [&canary[..], &["--namespace", NAMESPACE, CANARY_PILOT]].concat();
        match self.kube.read(&canary)?.trim() {
            "" => Ok(()),
            _ => self.uninstall_revision(CANARY),
        }
    }
}
