//! A pod's sandbox: a process that does nothing, in whose namespaces the containers run.
//!
//! It has the pod's network, its own host name, and its own view of the files: `/etc/hosts`,
//! the binaries, the volumes. It ends when the pipe to it closes, so also when the
//! supervisor is killed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;

use super::{NAMESPACE_PREFIX, leftovers, network, reach, tools};
use crate::error::{Context, Error, Result};

/// Arguments: host name, then `overlay FOLDER SCRATCH`, `own LINK -`, `folder SOURCE TARGET`
/// and `file SOURCE TARGET` as often as needed.
const SCRIPT: &str = r#"
set -e
printf %s "$1" > /proc/sys/kernel/hostname
shift
# Applications listen on any port, as in containers.
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
while [ $# -gt 0 ]; do
    case $1 in
    overlay)
        mount -t tmpfs tmpfs "$3"
        mkdir "$3/upper" "$3/work"
        mount -t overlay overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" "$2"
        ;;
    own) rm "$2"; mkdir "$2" ;;
    folder) mkdir -p "$3"; mount --bind "$2" "$3" ;;
    file) if [ -e "$3" ]; then mount --bind "$2" "$3"; fi ;;
    esac
    shift 3
done
echo ready
exec cat > /dev/null
"#;

/// What a sandbox is made from.
#[derive(Debug)]
pub(crate) struct SandboxPlan<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) address: Ipv4Addr,
    /// Whether there is a sidecar that takes care of virtual addresses.
    pub(crate) reaches_services: bool,
    /// What on the host it must be able to reach.
    pub(crate) must_reach: Option<SocketAddr>,
    /// A folder of the pod's own, for scratch.
    pub(crate) folder: &'a Path,
    /// Files of the host seen over others; a target that is not there is left out.
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
    /// Folders of the host seen at other places, which need not exist.
    pub(crate) folders: Vec<(PathBuf, PathBuf)>,
}

/// A pod's namespaces.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The process that holds them.
    pub(crate) pid: u32,
    network: String,
    process: Child,
}

impl Sandbox {
    /// Makes the network and the view of the files.
    pub(crate) async fn create(plan: &SandboxPlan<'_>) -> Result<Self> {
        let network = format!("{NAMESPACE_PREFIX}{}.{}", plan.namespace, plan.pod);
        let started = async {
            network::create_pod(&network, plan.address, plan.reaches_services).await?;
            Self::start(plan, &network).await
        };
        let started = started.await;
        if started.is_err() {
            // The first error is the one to tell.
            let _ = leftovers::remove_namespace(&network).await;
        }
        started
    }

    async fn start(plan: &SandboxPlan<'_>, network: &str) -> Result<Self> {
        let what = || format!("the namespaces of pod {}/{}", plan.namespace, plan.pod);
        let mut command = tools::command("nsenter");
        command.arg(format!("--net=/run/netns/{network}"));
        command.args([
            "unshare",
            "--mount",
            "--uts",
            "sh",
            "-c",
            SCRIPT,
            "sandbox",
            hostname(plan.pod),
        ]);
        command.args(steps(plan)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().context(what)?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).await.context(what)?;
        }
        let Some(pid) = process.id().filter(|_| line == "ready\n") else {
            return Err(Error::failed(format!("{}: {}", what(), complaint(&mut process).await)));
        };
        if let Some(address) = plan.must_reach {
            reach::check(pid, address).await?;
        }
        Ok(Self { pid, network: network.to_owned(), process })
    }

    /// Ends what still runs in it and removes its network.
    pub(crate) async fn remove(mut self) -> Result<()> {
        // The pipe closes and the process ends; not awaited until all others are gone.
        drop(self.process.stdin.take());
        let removed = leftovers::remove_namespace(&self.network).await;
        let _ = self.process.wait().await;
        removed
    }
}

async fn complaint(process: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = process.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut text).await;
    }
    text.trim().replace('\n', "; ")
}

/// The script's arguments after the host name. A folder that the host does not have is made
/// in an overlay of the first folder on its path, so that the host stays as it is; a link on
/// its path, such as /var/run, would lead out of the overlay and becomes a folder there.
fn steps(plan: &SandboxPlan<'_>) -> Result<Vec<PathBuf>> {
    let mut steps = Vec::new();
    let missing = plan.folders.iter().map(|(_, target)| target).filter(|target| !target.is_dir());
    let missing: Vec<_> = missing.collect();
    let tops: BTreeSet<PathBuf> = missing.iter().map(|target| top(target)).collect();
    let links: BTreeSet<PathBuf> = missing.iter().filter_map(|target| link(target)).collect();
    for (number, top) in tops.into_iter().enumerate() {
        if !top.is_dir() {
            return Err(Error::failed(format!(
                "pod {}/{}: a volume's mountPath begins with {}, which this machine does not \
                 have; use a path in /tmp, /var or /etc",
                plan.namespace,
                plan.pod,
                top.display()
            )));
        }
        let scratch = plan.folder.join("overlay").join(number.to_string());
        std::fs::create_dir_all(&scratch).context(|| scratch.display().to_string())?;
        steps.extend([PathBuf::from("overlay"), top, scratch]);
    }
    for link in links {
        steps.extend([PathBuf::from("own"), link, PathBuf::from("-")]);
    }
    for (source, target) in &plan.folders {
        steps.extend([PathBuf::from("folder"), source.clone(), target.clone()]);
    }
    // Last, as an overlay hides what was mounted in its folder before.
    for (source, target) in &plan.files {
        steps.extend([PathBuf::from("file"), source.clone(), target.clone()]);
    }
    Ok(steps)
}

/// The kernel takes 64 bytes; Kubernetes cuts at 63. Names are ASCII.
fn hostname(pod: &str) -> &str {
    pod.get(..63).unwrap_or(pod)
}

/// The first link on a path, the top folder apart.
fn link(path: &Path) -> Option<PathBuf> {
    let above: Vec<_> = path.ancestors().filter(|above| *above != top(path)).collect();
    above.into_iter().rev().find(|above| above.is_symlink()).map(Path::to_owned)
}

/// `/etc` of `/etc/mesh/proxy`.
fn top(path: &Path) -> PathBuf {
    path.components().take(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_are_made_in_an_overlay_and_files_come_last() {
        let scratch = tempfile::tempdir().unwrap();
        let source = PathBuf::from("/s");
        let plan = |target: &str| SandboxPlan {
            namespace: "default",
            pod: "web",
            address: Ipv4Addr::LOCALHOST,
            reaches_services: false,
            must_reach: None,
            folder: scratch.path(),
            files: vec![(source.clone(), PathBuf::from("/etc/hosts"))],
            folders: vec![(source.clone(), PathBuf::from(target))],
        };
        let words = |plan: &SandboxPlan<'_>| -> Vec<String> {
            let steps = steps(plan).unwrap();
            steps.iter().step_by(3).map(|word| word.display().to_string()).collect()
        };
        assert_eq!(words(&plan("/etc/no-such-folder/x")), ["overlay", "folder", "file"]);
        assert_eq!(words(&plan("/tmp")), ["folder", "file"]);
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("/run", &link).unwrap();
        let beyond = link.join("no-such-folder/x");
        assert_eq!(words(&plan(beyond.to_str().unwrap())), ["overlay", "own", "folder", "file"]);
        let error = steps(&plan("/no-such-folder/x")).unwrap_err().to_string();
        assert!(error.contains("begins with /no-such-folder"), "{error}");
    }
}
