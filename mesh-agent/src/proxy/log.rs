//! What a proxy says to standard error.
//!
//! It goes to a file, so that the proxy can go on when the agent is gone. The agent passes
//! it on to its own standard error, gives the disk back, and knows the last lines when the
//! proxy fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{FallocateFlags, fallocate};
use tokio::task::JoinHandle;

use super::watch::Watch;

/// What stays in the file for those who ask why.
const KEPT: u64 = 64 * 1024;
/// What is given back at once.
const FREED: u64 = 1024 * 1024;
/// As much of the end as is shown when it failed.
const LAST_WORDS: u64 = 2048;
const LAST_LINES: usize = 3;

/// The log of one generation.
pub(super) struct Log {
    path: PathBuf,
    passing: Arc<Mutex<Passing>>,
    following: JoinHandle<()>,
}

struct Passing {
    file: File,
    passed: u64,
    freed: u64,
}

impl Log {
    /// Where the log of a generation is.
    pub(super) fn path(folder: &Path, epoch: u32) -> PathBuf {
        folder.join(format!("proxy{epoch}.log"))
    }

    /// An empty log for a proxy that is to be started, and the end to write to.
    pub(super) fn create(path: &Path) -> io::Result<(Self, File)> {
        let _ = std::fs::remove_file(path);
        let mut options = OpenOptions::new();
        let file = options.create_new(true).append(true).mode(0o640).open(path)?;
        Ok((Self::follow(path, 0)?, file))
    }

    /// The log of a proxy that was found, from here on.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let end = std::fs::metadata(path)?.len();
        Self::follow(path, end)
    }

    fn follow(path: &Path, passed: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let watch = Watch::new()?;
        watch.add_file(path)?;
        let passing = Arc::new(Mutex::new(Passing { file, passed, freed: 0 }));
        let following = tokio::spawn({
            let passing = Arc::clone(&passing);
            async move {
                while watch.changed().await.is_ok() {
                    pass_on(&passing);
                }
            }
        });
        Ok(Self { path: path.to_owned(), passing, following })
    }

    /// The last lines, when the proxy has ended.
    pub(super) fn last_words(&self) -> String {
        pass_on(&self.passing);
        last_lines(&self.path).unwrap_or_default()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.following.abort();
        pass_on(&self.passing);
    }
}

fn pass_on(passing: &Mutex<Passing>) {
    let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
    // What standard error does not take, nobody can be told of.
    let _ = passing.pass_on(&mut io::stderr());
}

impl Passing {
    fn pass_on(&mut self, to: &mut dyn io::Write) -> io::Result<()> {
        let mut bytes = [0; 8192];
        loop {
            let read = self.file.read_at(&mut bytes, self.passed)?;
            if read == 0 {
                return self.give_back();
            }
            self.passed += read as u64;
            to.write_all(bytes.get(..read).unwrap_or_default())?;
        }
    }

    /// Without cutting the file: the proxy may be writing to it.
    fn give_back(&mut self) -> io::Result<()> {
        let free = self.passed.saturating_sub(KEPT);
        if free - self.freed >= FREED {
            let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let length = i64::try_from(free).map_err(io::Error::other)?;
            self.freed = free;
            fallocate(&self.file, mode, 0, length)?;
        }
        Ok(())
    }
}

fn last_lines(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut bytes = Vec::new();
    io::Seek::seek(&mut file, io::SeekFrom::Start(end.saturating_sub(LAST_WORDS)))?;
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    Ok(lines.get(first..).unwrap_or_default().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_is_passed_on_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = Log::path(folder.path(), 3);
        std::fs::write(&path, vec![b'x'; 3_000_000]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut passing = Passing { file, passed: 0, freed: 0 };
        let mut seen = Vec::new();
        passing.pass_on(&mut seen).unwrap();
        assert_eq!(seen.len(), 3_000_000);
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 3_000_000, "it goes on where it was");
        assert!(metadata.blocks() * 512 < 500_000, "{}", metadata.blocks());
    }

    #[tokio::test]
    async fn the_last_lines_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = Log::path(folder.path(), 0);
        let (log, mut file) = Log::create(&path).unwrap();
        assert_eq!(log.last_words(), "");
        file.write_all(b"one\ntwo\n\nthree\nfour\n").unwrap();
        assert_eq!(log.last_words(), "two\nthree\nfour");
        drop(log);
        let found = Log::find(&path).unwrap();
        assert_eq!(found.last_words(), "two\nthree\nfour");
    }
}
