//! The file by which an agent finds the proxies that an earlier one started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::binary::Kind;
use super::process::Id;
use super::supervisor::Epoch;

/// A generation, as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) epoch: Epoch,
    #[serde(flatten)]
    pub(super) id: Id,
    pub(super) kind: Kind,
    /// The program, and what file that was.
    pub(super) binary: PathBuf,
    pub(super) fingerprint: Fingerprint,
    /// The file that it was started with.
    pub(super) config: PathBuf,
    pub(super) started: SystemTime,
    /// Whether it has been ready.
    pub(super) ready: bool,
}

/// Tells one file from another that took its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    length: u64,
    changed_ns: i64,
}

impl Fingerprint {
    /// Of the file that a path leads to; nothing when there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed_ns: metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    /// Process ids and their times mean nothing after a start of the machine.
    boot: String,
    generations: Vec<Record>,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("proxy.json")
}

/// Writes the generations that live down.
pub(super) fn save(folder: &Path, generations: Vec<Record>) -> io::Result<()> {
    let file = File { boot: boot_id(), generations };
    let temporary = folder.join(".proxy.json.new");
    fs::write(&temporary, serde_json::to_vec_pretty(&file)?)?;
    fs::rename(temporary, path(folder))
}

/// The generations that were written down in this life of the machine. They need not live.
pub(super) fn load(folder: &Path) -> Vec<Record> {
    let path = path(folder);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "{} is ignored", path.display());
            return Vec::new();
        }
    };
    match serde_json::from_slice::<File>(&text) {
        Ok(file) if file.boot == boot_id() => file.generations,
        Ok(_) => {
            tracing::info!("{} is ignored: the machine was started anew", path.display());
            Vec::new()
        }
        Err(error) => {
            tracing::warn!(%error, "{} is ignored: it is none of ours", path.display());
            Vec::new()
        }
    }
}

/// What the newest proxy that was written down, and lives, was started with.
pub(super) fn config_of_living(folder: &Path) -> Option<PathBuf> {
    let mut newest_first = load(folder).into_iter().rev();
    let living = newest_first.find(|record| Id::of(record.id.pid) == Some(record.id))?;
    Some(living.config)
}

/// No proxy lives.
pub(super) fn remove(folder: &Path) {
    let _ = fs::remove_file(path(folder));
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).is_empty());
        let record = Record {
            epoch: 3,
            id: Id { pid: 42, start_time: 4242 },
            kind: Kind::Envoy,
            binary: "/usr/bin/envoy".into(),
            fingerprint: Fingerprint::of(&std::env::current_exe().unwrap()).unwrap(),
            config: "/x/rev3.json".into(),
            started: SystemTime::now(),
            ready: true,
        };
        save(folder.path(), vec![record.clone()]).unwrap();
        assert_eq!(load(folder.path()), [record]);
        let text = fs::read_to_string(path(folder.path())).unwrap();
        fs::write(path(folder.path()), text.replace(&boot_id(), "another")).unwrap();
        assert!(load(folder.path()).is_empty());
        fs::write(path(folder.path()), "{").unwrap();
        assert!(load(folder.path()).is_empty());
    }
}
