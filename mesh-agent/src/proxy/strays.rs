//! Proxies that an agent started and died before it could write them down.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::binary::Kind;
use super::found::{Fingerprint, Record};
use super::process::Id;

/// Those that run with a file of this folder as their configuration, `rev<N>.…`.
pub(super) fn look(folder: &Path, kind: Kind) -> Vec<Record> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stray(pid, folder, kind))
        .collect()
}

fn stray(pid: u32, folder: &Path, kind: Kind) -> Option<Record> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let arguments = fs::read(process.join("cmdline")).ok()?;
    let config = config(&arguments, folder)?;
    // The same name in another container is another file.
    let sees = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    if sees(&process) != sees(Path::new("/proc/self")) {
        return None;
    }
    Some(Record {
        epoch: super::revisions::epoch_of(config.file_name()?.to_str()?)?,
        id: Id::of(pid)?,
        kind,
        binary: fs::read_link(process.join("exe")).ok()?,
        fingerprint: Fingerprint::of(&process.join("exe"))?,
        config,
        started: SystemTime::now(),
        ready: false,
    })
}

/// What stands behind a `-c` and is in the folder.
fn config(arguments: &[u8], folder: &Path) -> Option<PathBuf> {
    let words: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
    let mut pairs = words.windows(2);
    pairs.find_map(|pair| {
        let [b"-c", path] = pair else { return None };
        let path = Path::new(OsStr::from_bytes(path));
        (path.parent() == Some(folder)).then(|| path.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_with_a_file_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let start = |name: &str| {
            let mut command = Command::new("sh");
            // The words after the script are its own arguments; it waits for its input.
            command.args(["-c", "read line", "sh", "-c"]).arg(folder.path().join(name));
            command.stdin(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut both = [start("rev7.yaml"), start("candidate.yaml")];
        let found = mesh_testkit::eventually("it is seen", || {
            let found = look(folder.path(), Kind::Mesh);
            (!found.is_empty()).then_some(found)
        });
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].epoch, found[0].id.pid), (7, both[0].id()));
        assert!(look(&folder.path().join("other"), Kind::Mesh).is_empty());
        for process in &mut both {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}
