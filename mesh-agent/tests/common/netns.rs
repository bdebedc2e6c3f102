//! Network namespaces of a test's own, entered by the test's thread: the sockets that it
//! makes there, and the programs that it starts, are inside.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output};

use mesh_testkit::{require_command, require_root};
use nix::sched::{CloneFlags, setns, unshare};

/// Whether such a test can run here; if not, the test kit has said so.
pub(crate) fn possible(tools: &[&str]) -> bool {
    require_root() && tools.iter().all(|tool| require_command(tool).is_some())
}

/// A namespace; it goes away with its last socket and process.
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes one and puts this thread into it.
    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        Self { file: File::open("/proc/thread-self/ns/net").unwrap() }
    }

    /// Puts this thread, and what it starts from now on, into the namespace.
    pub(crate) fn enter(&self) {
        setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// A path by which other programs can name it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// `ip` with these arguments.
pub(crate) fn ip(args: &str) {
    run("ip", &args.split(' ').collect::<Vec<_>>());
}

/// Runs a program to its good end.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(program).args(args).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{program} {args:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}
