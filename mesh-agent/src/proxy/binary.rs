//! Which proxy to run, and how it wants to be run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::RunArgs;
use super::found::Record;
use super::hot_restart::HotRestart;
use super::node::Node;
use super::orphans::Awaited;
use super::supervisor::{Drain, Epoch};

/// For a program that is only asked something.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// mesh-proxy.
    Mesh,
    /// A stock Envoy.
    Envoy,
}

impl Kind {
    /// How it drains.
    pub(super) fn drain(self) -> Drain {
        match self {
            Self::Mesh => Drain::OnSigterm,
            Self::Envoy => Drain::ByAdmin,
        }
    }
}

/// A proxy that exists.
pub(super) struct Binary {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

impl Binary {
    /// A path as it is; a name beside this program first, then in the PATH.
    pub(super) fn find(name: &Path) -> anyhow::Result<Self> {
        let is_envoy =
            name.file_name().is_some_and(|name| name.to_string_lossy().contains("envoy"));
        let kind = if is_envoy { Kind::Envoy } else { Kind::Mesh };
        let candidates = candidates(name, env::current_exe().ok(), env::var_os("PATH"));
        match candidates.iter().find(|path| path.is_file()) {
            Some(path) => Ok(Self { path: path.clone(), kind }),
            None => bail!(
                "--proxy-binary: no {} found; looked for {}",
                name.display(),
                candidates
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    /// Whether this proxy takes a configuration; the error has its own words.
    pub(super) async fn validate(&self, config: &Path, awaited: &Awaited) -> anyhow::Result<()> {
        let args = ["--mode", "validate", "--log-level", "error", "-c"].map(OsStr::new);
        let args = args.into_iter().chain([config.as_os_str()]);
        let output = ask(&self.path, args, awaited).await?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the proxy refuses the configuration ({}): {}",
            output.status,
            words.trim()
        );
        Ok(())
    }

    /// Whether this program can take over from a process, whose program is `program`; if
    /// not, why.
    pub(super) async fn takes_over(
        &self,
        old: &Record,
        program: &Path,
        awaited: &Awaited,
    ) -> Result<(), String> {
        if old.kind != self.kind {
            return Err(format!("{} runs, which is another proxy", old.binary.display()));
        }
        if self.kind == Kind::Mesh {
            // It finds out by itself.
            return Ok(());
        }
        let version = async |path: &Path| {
            let output = ask(path, [OsStr::new("--hot-restart-version")], awaited).await?;
            anyhow::Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let (runs, comes) = (version(program).await, version(&self.path).await);
        match (runs, comes) {
            (Ok(runs), Ok(comes)) if runs == comes => Ok(()),
            (Ok(runs), Ok(comes)) => Err(format!(
                "the Envoy that runs has hot restart's version {runs}, the new one has {comes}"
            )),
            (Err(error), _) | (_, Err(error)) => Err(format!("{error:#}")),
        }
    }

    /// Envoy's flags, which mesh-proxy has too. A configuration that names no node of its own
    /// needs `node`.
    pub(super) fn args(
        &self,
        args: &RunArgs,
        node: Option<&Node>,
        config: &Path,
        epoch: Epoch,
        hot_restart: Option<&HotRestart>,
    ) -> Vec<OsString> {
        let mut flags = vec![OsString::from("-c"), config.into()];
        let mut flag = |name: &str, value: String| flags.extend([name.into(), value.into()]);
        if let Some(node) = node {
            flag("--service-node", node.id());
            flag("--service-cluster", node.cluster());
        }
        flag("--log-level", args.proxy_log_level.clone());
        flag("--drain-time-s", drain_time_s(args).to_string());
        if hot_restart.is_some() {
            flag("--parent-shutdown-time-s", args.parent_shutdown_time_s.to_string());
        }
        // Without the flag both take one worker per core.
        if args.concurrency > 0 {
            flag("--concurrency", args.concurrency.to_string());
        }
        match hot_restart {
            Some(hot_restart) => flags.extend(hot_restart.flags(epoch)),
            None if self.kind == Kind::Envoy => flags.push("--disable-hot-restart".into()),
            None => {}
        }
        flags
    }
}

/// Runs a program for what it says, which is read when it has ended.
async fn ask(
    program: &Path,
    args: impl IntoIterator<Item = &OsStr>,
    awaited: &Awaited,
) -> anyhow::Result<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the proxy {}", program.display()))?;
    let pid = child.id().unwrap_or_default();
    awaited.add(pid);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    awaited.remove(pid);
    output
        .with_context(|| format!("{} does not end within {PATIENCE:?}", program.display()))?
        .with_context(|| program.display().to_string())
}

/// The proxy is to be done before the agent cuts what is left.
fn drain_time_s(args: &RunArgs) -> u64 {
    args.drain_time_s.min(args.termination_drain_s.saturating_sub(args.minimum_drain_s))
}

fn candidates(name: &Path, own: Option<PathBuf>, path: Option<OsString>) -> Vec<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return vec![name.to_owned()];
    }
    let beside = own.as_deref().and_then(Path::parent).map(|folder| folder.join(name));
    let in_path = path.iter().flat_map(env::split_paths).map(|folder| folder.join(name));
    beside.into_iter().chain(in_path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_the_agent_before_the_path() {
        let own = Some(PathBuf::from("/opt/mesh/mesh-agent"));
        let found = candidates(Path::new("envoy"), own.clone(), Some("/bin:/usr/bin".into()));
        let expected = ["/opt/mesh/envoy", "/bin/envoy", "/usr/bin/envoy"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(candidates(Path::new("./envoy"), own, None), [PathBuf::from("./envoy")]);
    }

    #[test]
    fn a_missing_one_is_named_with_the_places() {
        let error = Binary::find(Path::new("/no/such/proxy")).err().unwrap().to_string();
        assert!(error.contains("looked for /no/such/proxy"), "{error}");
    }
}
