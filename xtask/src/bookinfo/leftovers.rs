//! What a mesh could leave behind on this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::{self, as_root};

/// What belongs to `cargo xtask cluster`, which may come up or go meanwhile.
const CLUSTER: &str = "mesh-cluster";

/// Processes die after their parent was told that they were killed.
const DEADLINE: Duration = Duration::from_secs(30);

/// What there is at one moment: network namespaces, links, firewall rules, and processes of
/// the binaries in a folder.
pub(super) struct Leftovers(BTreeSet<String>);

impl Leftovers {
    /// # Errors
    /// When `ip` or `iptables-save` fail.
    pub(super) fn now(folder: &Path) -> Result<Self> {
        let mut found = BTreeSet::new();
        for (kind, args) in [("network namespace", ["netns", "list"]), ("link", ["-brief", "link"])]
        {
            let list = command::read(Command::new("ip").args(args))?;
            found.extend(names(&list).map(|name| format!("{kind} {name}")));
        }
        for line in command::read(&mut as_root("iptables-save")?)?.lines() {
            // The other lines are tables, comments, and policies with counters.
            if line.starts_with("-A ") {
                found.insert(format!("firewall rule {line}"));
            }
        }
        found.extend(processes(folder));
        Ok(Self(found))
    }

    /// Waits until there is nothing that was not there before.
    ///
    /// # Errors
    /// After 30 s, with what is left.
    pub(super) fn gone_but(before: &Self, folder: &Path) -> Result<()> {
        let start = Instant::now();
        loop {
            let now = Self::now(folder)?;
            let left: Vec<_> = now.0.difference(&before.0).collect();
            if left.is_empty() {
                return Ok(());
            }
            if start.elapsed() > DEADLINE {
                bail!("meshctl local down left this behind: {left:#?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The first word of each line, but the cluster's.
fn names(list: &str) -> impl Iterator<Item = &str> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| !name.starts_with(CLUSTER))
}

fn processes(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|e| e.ok());
    for process in entries {
        // Also readable for other users' processes, unlike the link `exe`.
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let program = command.split(' ').next().unwrap_or_default();
        if Path::new(program).parent() == Some(folder) && !program.ends_with("/xtask") {
            found.insert(format!("process {} {command}", process.file_name().display()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_cluster_is_nobody_s_leftover() {
        let links = "lo UNKNOWN\nmesh-cluster0@if2 UP\nmesh0 UP\n";
        assert_eq!(names(links).collect::<Vec<_>>(), ["lo", "mesh0"]);
        assert_eq!(names("mesh-cluster (id: 0)\nmesh-a\n").collect::<Vec<_>>(), ["mesh-a"]);
    }
}
