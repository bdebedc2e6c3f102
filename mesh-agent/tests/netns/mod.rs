//! Network namespaces of a test's own, entered by the test's thread.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::geteuid;

/// Whether such a test can run here. If not it says so, and fails where CI=true.
pub(crate) fn possible(tools: &[&str]) -> bool {
    let mut missing: Vec<String> = Vec::new();
    if !geteuid().is_root() {
        missing.push("root".to_owned());
    }
    for tool in tools {
        if Command::new(tool).arg("-V").output().is_err() {
            missing.push((*tool).to_owned());
        }
    }
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        panic!("cannot run without: {missing}");
    }
    eprintln!("NOT RUN, and nothing was tested: missing {missing}");
    false
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
