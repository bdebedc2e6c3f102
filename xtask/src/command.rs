//! Running other programs, with errors that say which one failed and how.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::paths;

/// Between two looks at whether a program has ended.
const EACH: Duration = Duration::from_millis(10);

/// Runs it with this program's own input and output.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    eprintln!("$ {text}");
    let status = command.status().with_context(|| format!("cannot start {text}"))?;
    ensure!(status.success(), "{text}: {status}");
    Ok(())
}

/// Runs it and takes what it prints.
///
/// # Errors
/// As [`run`]; the message has what it said on stderr.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    printed(&text(command), output(command)?)
}

fn printed(text: &str, output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}: {}\n{}", output.status, said.trim_end());
    String::from_utf8(output.stdout).with_context(|| format!("{text} printed no UTF-8"))
}

/// Runs it and takes what it prints and how it ended.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let text = text(command);
    command.output().with_context(|| format!("cannot start {text}"))
}

/// As [`read`], for so long at most; then it is killed.
///
/// # Errors
/// As [`read`], and when it takes longer.
pub(crate) fn read_within(command: &mut Command, limit: Duration) -> Result<String> {
    let text = text(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {text}"))?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(EACH);
    };
    let [stdout, stderr] = [stdout, stderr].map(|pipe| pipe.join().unwrap_or_default());
    match status {
        Some(status) => printed(&text, Output { status, stdout, stderr }),
        None => {
            let said = String::from_utf8_lossy(&stderr);
            bail!("{text}: killed after {limit:?}\n{}", said.trim_end())
        }
    }
}

/// Reads to the end, as far as it goes.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut read = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut read));
        read
    })
}

/// As a user would type it.
pub(crate) fn text(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// cargo in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::root());
    // What `cargo run` sets for xtask is not meant for the crates that are built now.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&key);
        }
    }
    cargo
}

/// Whether this program runs as root.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

/// `program` as root: itself when this is root, else through sudo.
///
/// # Errors
/// When this is not root and there is no sudo.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    let program = program.as_ref();
    if is_root() {
        return Ok(Command::new(program));
    }
    if paths::find_command("sudo").is_none() {
        bail!(
            "{} needs root (network namespaces and iptables), this is not root, and there is \
             no sudo: run it as root, or install sudo",
            program.display()
        );
    }
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    Ok(sudo)
}

/// Whether nobody is there to answer, and nothing may be left out: the environment has
/// `CI=true`.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &str, limit: Duration) -> Result<String> {
        read_within(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn a_program_has_its_time_and_no_more() {
        let long = Duration::from_secs(600);
        assert_eq!(read("echo told", long).unwrap(), "told\n");
        let failed = read("echo why >&2; exit 3", long).unwrap_err().to_string();
        assert!(failed.contains("exit status: 3") && failed.ends_with("why"), "{failed}");
        let killed = read("exec sleep 600", Duration::from_millis(50)).unwrap_err().to_string();
        assert!(killed.contains("killed after 50ms"), "{killed}");
    }
}
