//! A Kubernetes cluster, by kubectl.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;
use crate::paths::find_command;

/// Longer than what kubectl is ever told to wait for.
const LIMIT: Duration = Duration::from_secs(600);

/// A cluster that kubectl, meshctl and whoever reads KUBECONFIG can be sent to.
#[derive(Clone)]
pub(crate) struct Kube {
    kubectl: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Kube {
    /// The current context of the user's own kubeconfig.
    ///
    /// # Errors
    /// When there is no kubectl.
    pub(crate) fn of_user() -> Result<Self> {
        let kubectl = find_command("kubectl").context("kubectl is missing: install it")?;
        Ok(Self { kubectl, environment: Vec::new() })
    }

    /// The current context of this file, at an address that no proxy knows of.
    pub(crate) fn of_file(kubectl: PathBuf, kubeconfig: &Path, unproxied: Option<&str>) -> Self {
        let mut environment = vec![("KUBECONFIG", kubeconfig.into())];
        for name in ["NO_PROXY", "no_proxy"] {
            let Some(address) = unproxied else { break };
            let before = std::env::var(name).unwrap_or_default();
            environment.push((name, format!("{before},{address}").into()));
        }
        Self { kubectl, environment }
    }

    /// `program`, sent to this cluster.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// kubectl with these arguments.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Command {
        let mut kubectl = self.command(&self.kubectl);
        kubectl.args(args);
        kubectl
    }

    /// What kubectl prints.
    ///
    /// # Errors
    /// When it fails, with what it said, or does not end.
    pub(crate) fn read(&self, args: &[&str]) -> Result<String> {
        command::read_within(&mut self.kubectl(args), LIMIT)
    }

    /// What kubectl prints as JSON.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.read(&[args, &["--output=json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {}", args.join(" ")))
    }
}
