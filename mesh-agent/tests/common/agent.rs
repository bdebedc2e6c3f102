//! The agent with a proxy beside it, in this thread's network namespace.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use mesh_testkit::{eventually, write_script};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// A proxy that notes its start and its SIGTERM, then ends with the code in `code`. It
/// refuses a configuration with the word `bad`, and with a file `cannot` it does not take
/// over from another one.
const SCRIPT: &str = r#"#!/bin/sh
folder=$(dirname "$0")
if [ "$1 $2" = "--mode validate" ]; then
    if grep bad "$6" >&2; then exit 1; else exit 0; fi
fi
trap 'echo term >> "$folder/log"; exit $(cat "$folder/code")' TERM
[ -e "$folder/orphan" ] && sh -c "(sleep 0.05; echo orphan >> '$folder/log') &"
echo "start $$ $*" >> "$folder/log"
case "$*" in *"--restart-epoch 0"*) ;; *) [ -e "$folder/cannot" ] && exit 3 ;; esac
[ -e "$folder/crash" ] && rm "$folder/crash" && exit 9
while :; do sleep 0.02; done
"#;

/// The agent, started in this thread's namespace; killed, and its proxies with it, when the
/// test is over.
pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
    words: Vec<String>,
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
        let sidecar = ["sidecar", "--discovery-address", "127.0.0.1:15010", "--ca-address", "none"]
            .map(str::to_owned);
        Self::start_role(by, |folder| (prepare(folder), sidecar.to_vec()), more)
    }

    /// With a configuration of the user's, in `own.yaml`.
    pub(crate) fn start_static(
        configuration: &str,
        prepare: impl FnOnce(&Path) -> PathBuf,
        more: &[&str],
    ) -> Self {
        Self::start_static_by(&["env"], configuration, prepare, more)
    }

    pub(crate) fn start_static_by(
        by: &[&str],
        configuration: &str,
        prepare: impl FnOnce(&Path) -> PathBuf,
        more: &[&str],
    ) -> Self {
        let prepare = |folder: &Path| {
            let file = folder.join("own.yaml");
            fs::write(&file, configuration).unwrap();
            let role = ["static", "-c", file.to_str().unwrap()].map(str::to_owned);
            (prepare(folder), role.to_vec())
        };
        Self::start_role(by, prepare, more)
    }

    fn start_role(
        by: &[&str],
        prepare: impl FnOnce(&Path) -> (PathBuf, Vec<String>),
        more: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (proxy, role) = prepare(folder.path());
        let config = folder.path().join("config");
        let mut words: Vec<String> = by.iter().map(|word| (*word).to_owned()).collect();
        words.extend([env!("CARGO_BIN_EXE_mesh-agent"), "proxy"].map(str::to_owned));
        words.extend(role);
        words.extend(["--config-dir".to_owned(), config.to_str().unwrap().to_owned()]);
        words.extend(["--proxy-binary".to_owned(), proxy.to_str().unwrap().to_owned()]);
        words.extend(more.iter().map(|word| (*word).to_owned()));
        Self { child: spawn(&words), folder, words }
    }

    /// Another agent with the same arguments, beside this one or after it.
    pub(crate) fn another(&self) -> Child {
        spawn(&self.words)
    }

    /// Kills the agent and starts another one.
    pub(crate) fn replace(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = self.another();
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

    /// Waits until a file of the agent's folder has this in it, and gives it.
    pub(crate) fn config_written(&self, name: &str, part: &str) -> String {
        let what = format!("{part} is written to {name}");
        eventually(&what, || self.config(name).filter(|text| text.contains(part)))
    }

    pub(crate) fn config_dir(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// `mesh-agent restart`: its exit code and what it says.
    pub(crate) fn restart(&self) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.ask(&["restart"]);
        let said = [stdout, stderr].concat();
        (status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// `mesh-agent status -o json`, when the agent answers.
    pub(crate) fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.ask(&["status", "-o", "json"]).stdout).ok()
    }

    fn ask(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-agent"));
        command.args(words).arg("--config-dir").arg(self.config_dir()).output().unwrap()
    }

    /// Waits until the generations that live, by number, do this, and gives their processes.
    pub(crate) fn generations(&self, expected: &[(u64, &str)]) -> Vec<Pid> {
        let what = format!("generations {expected:?}");
        eventually(&what, || {
            let status = self.status()?;
            let all = status["generations"].as_array()?;
            let are: Vec<(u64, &str)> = all
                .iter()
                .map(|one| (one["epoch"].as_u64().unwrap(), one["state"].as_str().unwrap()))
                .collect();
            let ready = all.iter().all(|one| one["ready"] == true || one["state"] == "warming");
            let pid = |one: &Value| Pid::from_raw(one["pid"].as_i64().unwrap().try_into().unwrap());
            (are == expected && ready).then(|| all.iter().map(pid).collect())
        })
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
        // Before the agent ends, and an Envoy with it.
        running(self.folder.path()).into_iter().for_each(remove_shared_memory);
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in running(self.folder.path()) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

fn spawn(words: &[String]) -> Child {
    Command::new(&words[0])
        .args(&words[1..])
        .env("POD_NAME", "reviews-v1-0")
        .env("POD_NAMESPACE", "default")
        .env("INSTANCE_IP", "10.244.0.4")
        .env("MESH_LABELS", r#"{"app": "reviews"}"#)
        .spawn()
        .unwrap()
}

/// An Envoy that is killed leaves it.
fn remove_shared_memory(pid: Pid) {
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = arguments.split('\0').skip_while(|word| *word != "--base-id");
    if let Some(base_id) = words.nth(1) {
        let _ = fs::remove_file(format!("/dev/shm/envoy_shared_memory_{base_id}0"));
    }
}

/// The processes with a file of this folder among their arguments.
pub(crate) fn running(folder: &Path) -> Vec<Pid> {
    let has = |pid: &i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(folder.to_str().unwrap())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(has).map(Pid::from_raw).collect()
}

pub(crate) fn script(folder: &Path, code: &str) -> PathBuf {
    let path = folder.join("proxy.sh");
    fs::write(folder.join("code"), code).unwrap();
    write_script(&path, SCRIPT);
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
