//! Which proxy to run, and how it wants to be run.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use super::node::Node;
use super::{RunArgs, supervisor::Drain};

/// For the check of a configuration.
const VALIDATION: Duration = Duration::from_secs(30);

/// Whose proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// mesh-proxy.
    Mesh,
    /// A stock Envoy.
    Envoy,
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
    pub(super) async fn validate(&self, config: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(&self.path);
        command.args(["--mode", "validate", "-c"]).arg(config);
        command.args(["--log-level", "error"]).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(VALIDATION, command.output())
            .await
            .with_context(|| format!("{} --mode validate takes too long", self.path.display()))?
            .with_context(|| format!("cannot start the proxy {}", self.path.display()))?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the proxy refuses the configuration ({}): {}",
            output.status,
            words.trim()
        );
        Ok(())
    }

    pub(super) fn drain(&self) -> Drain {
        match self.kind {
            Kind::Mesh => Drain::OnSigterm,
            Kind::Envoy => Drain::ByAdmin,
        }
    }

    /// Envoy's flags, which mesh-proxy has too. A configuration that names no node of its own
    /// needs `node`.
    pub(super) fn args(&self, args: &RunArgs, node: Option<&Node>, config: &Path) -> Vec<OsString> {
        let mut flags = vec![OsString::from("-c"), config.into()];
        let mut flag = |name: &str, value: String| flags.extend([name.into(), value.into()]);
        if let Some(node) = node {
            flag("--service-node", node.id());
            flag("--service-cluster", node.cluster());
        }
        flag("--log-level", args.proxy_log_level.clone());
        flag("--drain-time-s", drain_time_s(args).to_string());
        // Without the flag both take one worker per core.
        if args.concurrency > 0 {
            flag("--concurrency", args.concurrency.to_string());
        }
        if self.kind == Kind::Envoy {
            // Its shared memory is the machine's, not the network namespace's.
            flags.push("--disable-hot-restart".into());
        }
        flags
    }
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
