//! The agent with a proxy beside it: a shell script in the place of a proxy, and the real
//! Envoy. Each in a network namespace of its own, since the ports are fixed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod netns;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use netns::{Namespace, possible};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A proxy that notes its start and its SIGTERM, then ends with the code in `code`.
const SCRIPT: &str = r#"#!/bin/sh
folder=$(dirname "$0")
trap 'echo term >> "$folder/log"; exit $(cat "$folder/code")' TERM
[ -e "$folder/orphan" ] && sh -c "(sleep 0.05; echo orphan >> '$folder/log') &"
echo "start $$ $*" >> "$folder/log"
[ -e "$folder/crash" ] && rm "$folder/crash" && exit 9
while :; do sleep 0.02; done
"#;

/// The agent, started in this thread's namespace; killed when the test is over.
struct Agent {
    child: Child,
    folder: TempDir,
}

impl Agent {
    fn start(prepare: impl FnOnce(&Path) -> PathBuf, more: &[&str]) -> Self {
        Self::start_by(&["env"], prepare, more)
    }

    /// By another program, which runs the agent as it sees fit.
    fn start_by(by: &[&str], prepare: impl FnOnce(&Path) -> PathBuf, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proxy = prepare(folder.path());
        let child = Command::new(by[0])
            .args(&by[1..])
            .arg(env!("CARGO_BIN_EXE_mesh-agent"))
            .args(["proxy", "sidecar", "--discovery-address", "127.0.0.1:15010"])
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

    fn scripted(more: &[&str]) -> Self {
        Self::start(|folder| script(folder, "0"), more)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        until("the agent ends", || self.child.try_wait().unwrap()).code()
    }

    /// The lines of the script's log that begin with `word`.
    fn log(&self, word: &str) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect()
    }

    fn started(&self, times: usize) -> Pid {
        let line = until("the proxy starts", || self.log("start").into_iter().nth(times - 1));
        Pid::from_raw(line.split(' ').nth(1).unwrap().parse().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(folder: &Path, code: &str) -> PathBuf {
    let path = folder.join("proxy.sh");
    fs::write(folder.join("code"), code).unwrap();
    fs::write(&path, SCRIPT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Asks again until there is an answer, for half a minute.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn readiness() -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:15021").ok()?;
    stream.write_all(b"GET /healthz/ready HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn becomes(status: &str, reason: &str) {
    until(&format!("readiness is {status} {reason}"), || {
        readiness().filter(|answer| {
            answer.starts_with(&format!("HTTP/1.0 {status}")) && answer.contains(reason)
        })
    });
}

/// A proxy's `/ready`, with what it says now.
fn fake_admin(state: Arc<Mutex<&'static str>>) {
    let listener = TcpListener::bind("127.0.0.1:15000").unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let state = *state.lock().unwrap();
            let status = if state == "LIVE" { "200 OK" } else { "503 Service Unavailable" };
            let length = state.len() + 1;
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{state}\n").as_bytes());
        }
    });
}

#[test]
fn readiness_follows_the_proxy_and_ends_with_the_first_signal() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let state = Arc::new(Mutex::new("INITIALIZING"));
    let agent = Agent::scripted(&["--minimum-drain-s", "600", "--termination-drain-s", "600"]);
    becomes("503", "does not answer");
    fake_admin(Arc::clone(&state));
    becomes("503", "INITIALIZING");
    *state.lock().unwrap() = "LIVE";
    becomes("200", "ready");
    agent.signal(Signal::SIGTERM);
    becomes("503", "terminating");
    assert!(agent.log("term").is_empty(), "the proxy works on");
}

#[test]
fn a_crashed_proxy_is_started_again_and_a_signal_drains_it() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let crash_once = |folder: &Path| {
        fs::write(folder.join("crash"), "").unwrap();
        script(folder, "0")
    };
    let mut agent = Agent::start(crash_once, &["--minimum-drain-s", "0", "--concurrency", "3"]);
    agent.started(2);
    let start = &agent.log("start")[1];
    for flag in [
        "rev0.json",
        "--concurrency 3",
        "--drain-time-s 20",
        "--service-cluster reviews.default",
        "--service-node sidecar~10.244.0.4~reviews-v1-0.default~default.svc.cluster.local",
    ] {
        assert!(start.contains(flag), "{flag} in {start}");
    }
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(agent.log("term").len(), 1);
}

#[test]
fn the_exit_code_tells_how_it_ended() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mut failing = Agent::start(|folder| script(folder, "7"), &["--minimum-drain-s", "0"]);
    failing.started(1);
    failing.signal(Signal::SIGTERM);
    assert_eq!(failing.exit_code(), Some(3), "the proxy failed while it drained");

    let mut cut = Agent::scripted(&["--minimum-drain-s", "600", "--termination-drain-s", "600"]);
    let proxy = cut.started(1);
    cut.signal(Signal::SIGTERM);
    becomes("503", "terminating");
    cut.signal(Signal::SIGTERM);
    assert_eq!(cut.exit_code(), Some(4), "a second signal");
    until("the proxy is gone", || kill(proxy, None).err());
}

#[test]
fn the_proxy_does_not_outlive_the_agent() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let agent = Agent::scripted(&[]);
    let proxy = agent.started(1);
    agent.signal(Signal::SIGKILL);
    until("the proxy is gone", || kill(proxy, None).err());
}

#[test]
fn as_the_first_process_it_reaps_orphans() {
    if !possible(&["ip", "unshare"]) {
        return;
    }
    let _namespace = Namespace::new();
    let leave_orphan = |folder: &Path| {
        fs::write(folder.join("orphan"), "").unwrap();
        script(folder, "0")
    };
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let agent = Agent::start_by(&unshare, leave_orphan, &[]);
    until("the orphan writes", || agent.log("orphan").pop());
    let first = until("the agent runs", || children(agent.child.id()).pop());
    until("the proxy is the only child", || (children(first).len() == 1).then_some(()));
}

/// The children of a process, zombies among them.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn what_is_missing_is_named() {
    let agent = |proxy: &str, env: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_mesh-agent"))
            .args(["proxy", "sidecar", "--discovery-address", "pilot:15010"])
            .args(["--proxy-binary", proxy, "--config-dir"])
            .arg(folder.path())
            .envs(env.iter().copied())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(agent("sh", &[]).contains("--pod-name"));
    let pod = [("POD_NAME", "a"), ("POD_NAMESPACE", "b"), ("INSTANCE_IP", "10.0.0.1")];
    assert!(agent("/no/proxy", &pod).contains("looked for /no/proxy"));
    let no_address = [("POD_NAME", "a"), ("POD_NAMESPACE", "b"), ("INSTANCE_IP", "")];
    assert!(agent("sh", &no_address).contains("INSTANCE_IP"));
}

/// The real Envoy: `MESH_ENVOY`, or where `cargo xtask tools` puts it.
fn envoy() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let path = std::env::var_os("MESH_ENVOY")
        .map(PathBuf::from)
        .or_else(|| Some(cache?.join("mesh/tools/bin/envoy")))
        .filter(|path| path.is_file());
    if path.is_none() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "no Envoy: set MESH_ENVOY, or run `cargo xtask tools`");
        eprintln!("NOT RUN, and nothing was tested: no Envoy (MESH_ENVOY, or `cargo xtask tools`)");
    }
    path
}

#[test]
fn envoy_takes_the_bootstrap_of_either_kind() {
    use mesh_agent::proxy::{Kind, bootstrap, node};
    let Some(envoy) = envoy() else { return };
    let node = node::Node {
        name: "reviews-v1-0".to_owned(),
        addresses: vec!["10.244.0.4".parse().unwrap()],
        labels: serde_json::from_str(r#"{"app": "reviews"}"#).unwrap(),
        identity: mesh_tls::SpiffeId::new("cluster.local", "default", "reviews").unwrap(),
        cluster_domain: "cluster.local".to_owned(),
        cluster_id: "local".to_owned(),
        mesh_id: "cluster.local".to_owned(),
    };
    for (kind, discovery) in
        [(Kind::Envoy, "pilot.mesh-system:15010"), (Kind::Mesh, "10.244.0.1:15010")]
    {
        let folder = tempfile::tempdir().unwrap();
        let document = bootstrap::build(kind, &node, &discovery.parse().unwrap(), 15000);
        let path = bootstrap::write(folder.path(), &document).unwrap();
        let path = path.to_str().unwrap();
        netns::run(envoy.to_str().unwrap(), &["--mode", "validate", "-c", path]);
    }
}

#[test]
fn envoy_is_run_and_drained() {
    let Some(envoy) = envoy() else { return };
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mut agent = Agent::start(|_| envoy, &["--minimum-drain-s", "0"]);
    // No control plane answers, so it must not become live.
    becomes("503", "INITIALIZING");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
}
