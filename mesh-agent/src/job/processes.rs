//! The processes of the pod.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::{Uid, getpid};

/// A line of proc(5)'s `/proc/<pid>/stat`, as far as it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: i32,
    is_alive: bool,
    is_ours: bool,
}

/// How many processes are neither the pod's first (it only holds the namespaces), nor this
/// one, nor descend from it, nor belong to its user, who is the sidecar's alone.
pub(super) fn others() -> usize {
    count(&all(), getpid().as_raw())
}

fn all() -> HashMap<i32, Process> {
    let own = Uid::effective();
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    folders
        .filter_map(|folder| {
            let pid = folder.file_name().to_str()?.parse().ok()?;
            // One that ends meanwhile is not there.
            let is_ours = !own.is_root() && folder.metadata().ok()?.uid() == own.as_raw();
            let stat = fs::read_to_string(folder.path().join("stat")).ok()?;
            Some((pid, parse(&stat, is_ours)?))
        })
        .collect()
}

/// The name, in parentheses, may hold anything.
fn parse(stat: &str, is_ours: bool) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { parent, is_alive: !["Z", "X"].contains(&state), is_ours })
}

fn count(all: &HashMap<i32, Process>, own: i32) -> usize {
    let descends = |mut pid: i32| {
        // No chain is longer than there are processes.
        for _ in 0..=all.len() {
            if pid == own {
                return true;
            }
            match all.get(&pid) {
                Some(process) => pid = process.parent,
                None => return false,
            }
        }
        false
    };
    let is_other = |(pid, process): &(&i32, &Process)| {
        **pid != 1 && process.is_alive && !process.is_ours && !descends(**pid)
    };
    all.iter().filter(is_other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_living_of_others_count() {
        let line = |parent: i32, state: &str, is_ours| {
            parse(&format!("9 (a) b) {state} {parent} 1 1 0"), is_ours).unwrap()
        };
        let mut all = HashMap::from([
            (1, line(0, "S", false)),
            (7, line(0, "S", false)),
            (8, line(7, "S", false)),
            (9, line(8, "R", false)),
            (20, line(1, "Z", false)),
            (21, line(1, "S", true)),
        ]);
        assert_eq!(count(&all, 7), 0);
        all.insert(30, line(0, "S", false));
        all.insert(31, line(30, "D", false));
        assert_eq!(count(&all, 7), 2);
    }

    #[test]
    fn this_process_is_found() {
        let all = all();
        assert!(all[&getpid().as_raw()].is_alive);
    }
}
