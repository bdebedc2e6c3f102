//! Sees files and folders change (inotify(7)), on the agent's one thread.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::descriptor;

/// Some files or folders.
pub(super) struct Watch {
    inotify: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify: descriptor::readable(inotify)? })
    }

    /// Watches what is written to a file.
    pub(super) fn add_file(&self, path: &Path) -> io::Result<()> {
        self.add(path, WatchFlags::MODIFY)
    }

    /// Watches the files that appear, change and go in a folder, not below it.
    pub(super) fn add_folder(&self, path: &Path) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        self.add(path, flags)
    }

    fn add(&self, path: &Path, flags: WatchFlags) -> io::Result<()> {
        inotify::add_watch(self.inotify.get_ref(), path, flags)?;
        Ok(())
    }

    /// Waits until something has changed. Cancel-safe.
    pub(super) async fn changed(&self) -> io::Result<()> {
        let mut guard = self.inotify.readable().await?;
        // What it was does not matter: whoever asks looks for himself.
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(guard.get_inner(), &mut space);
        while events.next().is_ok() {}
        guard.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "a").unwrap();
        let watch = Watch::new().unwrap();
        watch.add_file(&file).unwrap();
        std::fs::write(&file, "b").unwrap();
        watch.changed().await.unwrap();
        let watch = Watch::new().unwrap();
        watch.add_folder(folder.path()).unwrap();
        std::fs::rename(&file, folder.path().join("other")).unwrap();
        watch.changed().await.unwrap();
        assert!(watch.add_folder(&file).is_err(), "no folder any more");
    }
}
