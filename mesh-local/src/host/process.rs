//! Programs: on the host (the pilot) or in a pod's sandbox (containers).

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::tools;
use crate::error::{Context, Result};

/// User and group of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// What is to run.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// The sandbox's process; nothing for the host itself.
    pub(crate) sandbox: Option<u32>,
    pub(crate) command: &'a [String],
    /// The whole environment but for PATH, which has `path` first.
    pub(crate) env: &'a [(String, String)],
    pub(crate) path: &'a Path,
    pub(crate) user: User,
    pub(crate) working_dir: Option<&'a Path>,
    /// Output is appended to this file.
    pub(crate) log: PathBuf,
}

/// A running program with everything that it has started in its process group.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) pid: u32,
}

impl Process {
    /// Starts a program. It is killed when the supervisor dies, however that happens. (The
    /// kernel ties this to the thread that starts it; tokio's workers live as long as the
    /// runtime.)
    pub(crate) fn start(program: &Program<'_>) -> Result<Self> {
        let what = || program.command.first().cloned().unwrap_or_default();
        let log = OpenOptions::new().create(true).append(true).open(&program.log);
        let log = log.context(|| program.log.display().to_string())?;
        let mut command = command(program);
        command.stdout(Stdio::from(log.try_clone().context(what)?)).stderr(Stdio::from(log));
        let child = command.spawn().context(what)?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid })
    }

    /// Waits for the end. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // Whatever it left behind in its group would keep its ports.
        self.signal(Signal::SIGKILL);
        status
    }

    /// SIGTERM, and SIGKILL for what is still there after `grace`.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        // To the program alone: what it supervises, it ends itself.
        let _ = nix::sys::signal::kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        if self.pid != 0 {
            // Gone already is what is wanted.
            let _ = killpg(Pid::from_raw(self.pid.cast_signed()), signal);
        }
    }
}

fn command(program: &Program<'_>) -> Command {
    let mut words = match program.sandbox {
        Some(pid) => enter(pid),
        None => Vec::new(),
    };
    words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
    if program.user.user != 0 {
        let User { user, group } = program.user;
        words.extend([format!("--reuid={user}"), format!("--regid={group}")]);
        words.extend(["--clear-groups", "--no-new-privs"].map(str::to_owned));
    }
    words.push("--".to_owned());
    if let Some(folder) = program.working_dir {
        // Entering the sandbox goes back to its root.
        words.extend(["env".to_owned(), format!("--chdir={}", folder.display())]);
    }
    words.extend(program.command.iter().cloned());
    let mut command = tools::command(&words[0]);
    command.args(&words[1..]).env_clear().envs(program.env.iter().cloned());
    command.env("PATH", format!("{}:{}", program.path.display(), tools::PATH));
    command.current_dir("/");
    command
}

/// The words before a command that make it run in the sandbox which this process holds.
pub fn enter(sandbox: u32) -> Vec<String> {
    let target = format!("--target={sandbox}");
    ["nsenter", &target, "--net", "--mount", "--uts", "--"].map(str::to_owned).to_vec()
}
