//! A program in the background, which outlives this one and is found again by how it was
//! started: no file can be stale about whether it runs.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::namespace;
use crate::command;
use crate::paths::find_command;

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// How much of the log is shown when it does not start.
const TAIL: usize = 20;

pub(super) struct Daemon {
    pub(super) program: &'static str,
    /// An argument that no other process has.
    pub(super) mark: &'static str,
    pub(super) log: PathBuf,
}

impl Daemon {
    /// Its process id, when it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        let entries = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok());
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .find(|pid| self.is(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()))
    }

    fn is(&self, command_line: &[u8]) -> bool {
        let mut words = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let program = words.next().unwrap_or_default();
        Path::new(program.as_ref()).file_name().is_some_and(|name| name == self.program)
            && words.any(|word| word == self.mark)
    }

    /// Starts it in the engine's network namespace, unless it runs, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready after a minute; with the end of its log.
    pub(super) fn start(&self, args: &[String], ready: impl Fn() -> bool) -> Result<()> {
        if self.pid().is_some() && wait_until(START_DEADLINE, &ready) {
            return Ok(());
        }
        let program = find_command(self.program)
            .with_context(|| format!("{}: installed, but not found", self.program))?;
        let log = File::create(&self.log).with_context(|| self.log.display().to_string())?;
        // nsenter becomes the program. Ctrl-C is for this program's group, not for a daemon's.
        let mut daemon = Command::new("nsenter");
        daemon.arg(format!("--net={}", namespace::FILE)).arg(program).arg(self.mark).args(args);
        daemon.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        daemon.env("PATH", path_with_sbin()?);
        let text = command::text(&daemon);
        let mut child = daemon.spawn().with_context(|| format!("cannot start {text}"))?;
        let start = Instant::now();
        while !ready() {
            let ended = child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_DEADLINE {
                let how = ended.map_or("not ready in time".to_owned(), |status| status.to_string());
                bail!("{text}: {how}\n{}", self.tail());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Stops it, if it runs, and waits for its end.
    ///
    /// # Errors
    /// When it is there half a minute after it was killed.
    pub(super) fn stop(&self) -> Result<()> {
        for signal in ["TERM", "KILL"] {
            let Some(pid) = self.pid() else { return Ok(()) };
            let pid_text = pid.to_string();
            // It may have ended by itself meanwhile.
            command::output(Command::new("kill").args(["-s", signal, &pid_text]))?;
            if wait_until(STOP_DEADLINE, || self.pid() != Some(pid)) {
                return Ok(());
            }
        }
        bail!("{} does not end: process {:?}", self.program, self.pid())
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

fn wait_until(deadline: Duration, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// The engine looks for iptables and for its helpers there.
fn path_with_sbin() -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    Ok(std::env::join_paths(std::env::split_paths(&path).chain(sbin))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_known_by_program_and_mark() {
        let daemon = Daemon { program: "dockerd", mark: "--host=unix:///a", log: PathBuf::new() };
        assert!(daemon.is(b"/usr/sbin/dockerd\0--host=unix:///a\0--x\0"));
        // The user's own, another program that was given the same words, and a zombie.
        assert!(!daemon.is(b"/usr/sbin/dockerd\0--host=unix:///b\0"));
        assert!(!daemon.is(b"grep\0dockerd\0--host=unix:///a\0"));
        assert!(!daemon.is(b""));
    }
}
