//! A machine of its own for a test: a network namespace, and an empty `/run`, so that tests
//! run beside each other and beside a real mesh.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_local::{Document, Event, Images, Manifests, PodOptions, Publish, Settings, StateDir};
use mesh_testkit::{copy_program, missing, require_root, write_script};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PYTHON: &str = "/usr/bin/python3";

/// Stands in for the control plane: ready, and nothing else; not before [`HOLD`] is gone.
const PILOT: &str = r#"#!/usr/bin/python3
import http.server, os, socket, sys, time
def flag(name):
    return sys.argv[sys.argv.index(name) + 1]
while os.path.exists("/run/hold"):
    time.sleep(0.01)
host, port = flag("--http-address").rsplit(":", 1)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer((host, int(port)), Handler)
api = socket.socket(socket.AF_UNIX)
api.bind(flag("--api-socket"))
api.listen()
server.serve_forever()
"#;

/// While this file exists the control plane does not come up.
pub(crate) const HOLD: &str = "/run/hold";

pub(crate) struct Machine {
    bin: tempfile::TempDir,
}

/// Runs a test on a machine of its own, if this one allows it.
pub(crate) fn on_a_machine<F: Future<Output = ()>>(
    test: impl FnOnce(Machine) -> F + Send + 'static,
) {
    if !require_root() {
        return;
    }
    if !Path::new(PYTHON).exists() {
        return missing("it needs /usr/bin/python3");
    }
    // The runtime's threads inherit the namespaces of the one that makes it.
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
        ip(&["link", "set", "lo", "up"]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(test(Machine::new()));
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Machine {
    fn new() -> Self {
        let bin = tempfile::tempdir().unwrap();
        std::fs::set_permissions(bin.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        write_script(&bin.path().join("mesh-pilot"), PILOT);
        Self { bin }
    }

    /// Gives pods a program; where it is.
    pub(crate) fn add(&self, program: &Path) -> PathBuf {
        let copy = self.bin.path().join(program.file_name().unwrap());
        copy_program(program, &copy);
        copy
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir::new("/run/mesh-local")
    }

    pub(crate) fn settings(&self, publish: &[&str]) -> Settings {
        let publish = publish.iter().map(|text| text.parse::<Publish>().unwrap()).collect();
        Settings {
            state: self.state(),
            pods: PodOptions {
                inject: false,
                proxy_binaries: Default::default(),
                images: Images::default(),
                bin_dir: self.bin.path().to_owned(),
                user: 65532,
            },
            publish,
            workload_cert_ttl: None,
        }
    }

    /// What a mesh has made on this machine: namespaces, links, processes, its folder.
    pub(crate) fn traces(&self) -> Vec<String> {
        let mut traces: Vec<String> = ip(&["netns", "list"]).lines().map(str::to_owned).collect();
        let links = ip(&["-brief", "link"]);
        traces.extend(links.lines().filter(|line| !line.starts_with("lo ")).map(str::to_owned));
        let network = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let is_here = |link: PathBuf| link == network;
            let program = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let here = std::fs::read_link(entry.path().join("ns/net")).is_ok_and(is_here);
            if here && !program.starts_with("ip") {
                traces.push(format!("process {program}"));
            }
        }
        let root = self.state().root().to_owned();
        traces.extend(root.exists().then(|| root.display().to_string()));
        traces
    }
}

pub(crate) fn manifests(text: &str) -> Manifests {
    Manifests::from_documents(Document::parse("test.yaml", text).unwrap()).unwrap()
}

pub(crate) async fn start(
    settings: Settings,
    text: &str,
) -> mesh_local::Result<(std::sync::Arc<mesh_local::Mesh>, UnboundedReceiver<Event>)> {
    let (sender, receiver) = unbounded_channel();
    let mesh = mesh_local::Mesh::start(settings, manifests(text), sender).await?;
    Ok((mesh, receiver))
}

/// A command in a pod.
pub(crate) fn enter(sandbox: u32, command: &[&str]) -> Command {
    let words = mesh_local::enter(sandbox);
    let mut inside = Command::new(&words[0]);
    inside.args(&words[1..]).args(command);
    inside
}

/// Runs a shell command in a pod and gives what it printed.
pub(crate) fn in_pod(sandbox: u32, script: &str) -> String {
    let output = enter(sandbox, &["sh", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
