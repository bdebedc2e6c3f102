//! The agent with a proxy beside it, in this thread's network namespace.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use mesh_testkit::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A proxy that notes its start and its SIGTERM, then ends with the code in `code`. It
/// refuses a configuration with the word `bad`.
const SCRIPT: &str = r#"#!/bin/sh
folder=$(dirname "$0")
if [ "$1 $2 $3" = "--mode validate -c" ]; then
    if grep bad "$4" >&2; then exit 1; else exit 0; fi
fi
trap 'echo term >> "$folder/log"; exit $(cat "$folder/code")' TERM
[ -e "$folder/orphan" ] && sh -c "(sleep 0.05; echo orphan >> '$folder/log') &"
echo "start $$ $*" >> "$folder/log"
[ -e "$folder/crash" ] && rm "$folder/crash" && exit 9
while :; do sleep 0.02; done
"#;

/// The agent, started in this thread's namespace; killed when the test is over.
pub(crate) struct Agent {
    pub(crate) child: Child,
    folder: TempDir,
}

impl Agent {
    pub(crate) fn start(prepare: impl FnOnce(&Path) -> PathBuf, more: &[&str]) -> Self {
        Self::start_by(&["env"], prepare, more)
    }

    /// By another program, which runs the agent as it sees fit.
    pub(crate) fn start_by(
        by: &[&str],
        prepare: impl FnOnce(&Path) -> PathBuf,
        more: &[&str],
    ) -> Self {
        let sidecar = ["sidecar", "--discovery-address", "127.0.0.1:15010"].map(str::to_owned);
        Self::start_role(by, |folder| (prepare(folder), sidecar.to_vec()), more)
    }

    /// With a configuration of the user's.
    pub(crate) fn start_static(configuration: &str, more: &[&str]) -> Self {
        let prepare = |folder: &Path| {
            let file = folder.join("own.yaml");
            fs::write(&file, configuration).unwrap();
            let role = ["static", "-c", file.to_str().unwrap()].map(str::to_owned);
            (script(folder, "0"), role.to_vec())
        };
        Self::start_role(&["env"], prepare, more)
    }

    fn start_role(
        by: &[&str],
        prepare: impl FnOnce(&Path) -> (PathBuf, Vec<String>),
        more: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (proxy, role) = prepare(folder.path());
        let child = Command::new(by[0])
            .args(&by[1..])
            .arg(env!("CARGO_BIN_EXE_mesh-agent"))
            .arg("proxy")
            .args(role)
            .arg("--config-dir")
            .arg(folder.path().join("config"))
            .arg("--proxy-binary")
            .arg(proxy)
            .args(more)
            .env("POD_NAME", "reviews-v1-0")
            .env("POD_NAMESPACE", "default")
            .env("INSTANCE_IP", "10.244.0.4")
            .env("MESH_LABELS", r#"{"app": "reviews"}"#)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub(crate) fn scripted(more: &[&str]) -> Self {
        Self::start(|folder| script(folder, "0"), more)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        eventually("the agent ends", || self.child.try_wait().unwrap()).code()
    }

    /// A file of the agent's folder.
    pub(crate) fn config(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join("config").join(name)).ok()
    }

    /// The lines of the script's log that begin with `word`.
    pub(crate) fn log(&self, word: &str) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect()
    }

    pub(crate) fn started(&self, times: usize) -> Pid {
        let line = eventually("the proxy starts", || self.log("start").into_iter().nth(times - 1));
        Pid::from_raw(line.split(' ').nth(1).unwrap().parse().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn script(folder: &Path, code: &str) -> PathBuf {
    let path = folder.join("proxy.sh");
    fs::write(folder.join("code"), code).unwrap();
    fs::write(&path, SCRIPT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn readiness() -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:15021").ok()?;
    stream.write_all(b"GET /healthz/ready HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

pub(crate) fn becomes(status: &str, reason: &str) {
    eventually(&format!("readiness is {status} {reason}"), || {
        readiness().filter(|answer| {
            answer.starts_with(&format!("HTTP/1.0 {status}")) && answer.contains(reason)
        })
    });
}
