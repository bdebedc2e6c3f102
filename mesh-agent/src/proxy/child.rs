//! The proxy as a process.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::Context;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::{Child, Command};

/// A running proxy; it does not outlive this process.
pub(super) struct Proxy {
    child: Child,
    pid: Pid,
}

impl Proxy {
    pub(super) fn start(path: &Path, args: &[OsString]) -> anyhow::Result<Self> {
        let mut command = Command::new(path);
        // A group of its own: Ctrl-C on a terminal is for the agent, which then drains.
        command.args(args).process_group(0).kill_on_drop(true);
        die_with_parent(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start the proxy {}", path.display()))?;
        let id = child.id().context("the proxy ended before it was seen")?;
        Ok(Self { child, pid: Pid::from_raw(i32::try_from(id)?) })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end. Cancel-safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends a signal; that it has ended already is no error.
    pub(super) fn signal(&self, signal: Signal) {
        // Not yet waited for, so the id is still its own.
        if self.child.id().is_some()
            && let Err(error) = kill(self.pid, signal)
        {
            tracing::warn!(%error, %signal, "cannot signal the proxy");
        }
    }
}

fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let before_exec = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before the line above.
        if getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "runs between fork and exec, where only async-signal-safe calls are allowed: \
                  it makes two system calls and allocates nothing"
    )]
    unsafe {
        command.pre_exec(before_exec);
    }
}
