//! A proxy's process: one that the agent started, or one that it found.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use super::descriptor;

/// A process, by more than its id, which is given to another one when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Id {
    pub(super) pid: u32,
    /// When it began, in the kernel's ticks since the machine began.
    pub(super) start_time: u64,
}

impl Id {
    /// Of a process that runs.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start_time: Stat::read(pid)?.start_time })
    }
}

/// A running proxy. It lives on when this is dropped, and when the agent dies.
pub(super) struct Process {
    id: Id,
    handle: AsyncFd<OwnedFd>,
    /// Nothing for one that another agent started.
    child: Option<Child>,
}

impl Process {
    /// Starts a program; what it says to standard error goes to `log`.
    pub(super) fn start(path: &Path, args: &[OsString], log: File) -> anyhow::Result<Self> {
        let mut command = Command::new(path);
        // A group of its own: Ctrl-C on a terminal is for the agent, which then drains.
        command.args(args).process_group(0).stdin(Stdio::null()).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start the proxy {}", path.display()))?;
        // Not waited for yet, so this is it, even when it has ended.
        let pid = child.id().context("the proxy ended before it was seen")?;
        let id = Id::of(pid).context("the proxy ended before it was seen")?;
        let handle = open(pid).context("the proxy cannot be watched")?;
        Ok(Self { id, handle, child: Some(child) })
    }

    /// Takes over a process that runs; nothing when it does not run any more.
    pub(super) fn adopt(id: Id) -> Option<Self> {
        let handle = open(id.pid).ok()?;
        // Looked at when it is held: what holds for the id holds for the handle too.
        let stat = Stat::read(id.pid)?;
        let lives = stat.start_time == id.start_time && !stat.is_zombie;
        lives.then_some(Self { id, handle, child: None })
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// The program's file as it was when the process began, wherever it is by now.
    pub(super) fn program(&self) -> PathBuf {
        format!("/proc/{}/exe", self.id.pid).into()
    }

    /// Waits for its end; only of the agent's own is it known how it ended. Cancel-safe.
    pub(super) async fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => child.wait().await.map(Some),
            None => self.handle.readable().await.map(|_| None),
        }
    }

    /// Sends a signal; that it has ended already is no error.
    pub(super) fn signal(&self, signal: Signal) {
        match pidfd_send_signal(self.handle.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!(%error, ?signal, "cannot signal the proxy"),
        }
    }
}

fn open(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    // Readable when the process has ended. It is closed on exec.
    descriptor::readable(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// What `/proc/<pid>/stat` says (proc_pid_stat(5)).
struct Stat {
    is_zombie: bool,
    start_time: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The program's name, in parentheses, may have spaces and parentheses in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let is_zombie = fields.next()? == "Z";
        Some(Self { is_zombie, start_time: fields.nth(18)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest() {
        let stat = "42 (a) Z 1 (b) S 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.is_zombie, stat.start_time), (false, 98765));
        assert!(Stat::parse("42 (a) S 1").is_none());
    }

    #[tokio::test]
    async fn one_that_was_found_is_told_from_another_and_seen_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = || File::create(folder.path().join("log")).unwrap();
        let mut started = Process::start(Path::new("sleep"), &["1000".into()], log()).unwrap();
        let id = started.id();
        assert!(Process::adopt(Id { start_time: id.start_time + 1, ..id }).is_none());
        let mut adopted = Process::adopt(id).unwrap();
        adopted.signal(Signal::TERM);
        assert_eq!(adopted.ended().await.unwrap(), None);
        assert!(Process::adopt(id).is_none(), "a zombie is none");
        let status = started.ended().await.unwrap().unwrap();
        assert!(!status.success());
        adopted.signal(Signal::TERM);
    }
}
