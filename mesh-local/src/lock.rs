//! The machine's lock: one machine has one mesh, whatever its state folder.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// Always the same file, and never removed: two processes that hold locks of the same name
/// hold the same lock.
const FILE: &str = "/run/mesh-local.lock";

/// The running supervisor's hold on the machine. Dropping it, or dying, ends it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Takes the machine for a mesh with this state folder.
///
/// # Errors
/// [`Error::Running`] when another process has it.
pub(crate) fn take(state: &Path) -> Result<Lock> {
    take_file(Path::new(FILE), state)
}

/// The state folder of the mesh that has the machine, if one has.
///
/// # Errors
/// When the lock cannot be asked: that takes root.
pub(crate) fn holder() -> Result<Option<PathBuf>> {
    holder_in(Path::new(FILE))
}

fn take_file(path: &Path, state: &Path) -> Result<Lock> {
    let what = || path.display().to_string();
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let (pid, state) = read(&mut file);
            return Err(Error::Running { pid, state });
        }
        Err(TryLockError::Error(source)) => return Err(Error::Io { what: what(), source }),
    }
    let text = format!("{}\n{}", std::process::id(), state.display());
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).context(what)?;
    Ok(Lock { file })
}

fn holder_in(path: &Path) -> Result<Option<PathBuf>> {
    let mut file = open(path)?;
    // Shared, so that two that ask do not take each other for a mesh.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read(&mut file).1)),
        Err(TryLockError::Error(source)) => {
            Err(Error::Io { what: path.display().to_string(), source })
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    // For root alone: whoever can open it could hold it, and keep every mesh from starting.
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).context(|| path.display().to_string())
}

/// Process and state folder, as the holder wrote them; for messages.
fn read(file: &mut File) -> (u32, PathBuf) {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let (pid, state) = text.split_once('\n').unwrap_or_default();
    (pid.parse().unwrap_or_default(), PathBuf::from(state))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Under the lock still, so that the next holder is never taken for this one.
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_lock_names_the_first_ones_process_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = take_file(&path, Path::new("/run/a")).unwrap();
        let error = take_file(&path, Path::new("/run/b")).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(error.contains("/run/a"), "{error}");
        assert_eq!(holder_in(&path).unwrap(), Some(PathBuf::from("/run/a")));
        drop(lock);
        assert!(path.exists(), "a file that is removed could be locked twice");
        assert_eq!(holder_in(&path).unwrap(), None);
        take_file(&path, Path::new("/run/b")).unwrap();
    }
}
