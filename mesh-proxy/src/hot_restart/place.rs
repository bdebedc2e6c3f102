//! Where processes of one base id find each other: a socket file for each epoch.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

/// Why a process has no place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("hot restart: {}: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error("hot restart: {} may be written by others (mode {mode:o}); only its owner may write a folder with hot restart's sockets", folder.display())]
    WritableByOthers { folder: PathBuf, mode: u32 },
    #[error("hot restart: {} belongs to uid {owner}, not to this process's uid {own} or root", folder.display())]
    ForeignFolder { folder: PathBuf, owner: u32, own: u32 },
    #[error("hot restart: {}: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    #[error(
        "hot restart: base id {base_id} is in use: process {pid} runs with --restart-epoch {epoch}; this one has {own} and would need a higher one"
    )]
    InUse { base_id: u32, epoch: u32, pid: i32, own: u32 },
}

/// The names of the sockets of one base id.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    prefix: PathBuf,
    base_id: u32,
}

/// A process's own socket, for its successor. The file goes with it.
pub(crate) struct Claim {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

/// A process that answers at its socket.
pub(super) struct Live {
    pub(super) epoch: u32,
    pub(super) pid: i32,
    pub(super) io: UnixStream,
}

impl Place {
    /// `<prefix>.<base id>.<epoch>`
    pub(crate) fn new(prefix: &Path, base_id: u32) -> Self {
        Self { prefix: prefix.to_owned(), base_id }
    }

    /// Takes the place of `epoch`, removes what dead processes left, and gives the newest
    /// process before this one, if one lives. An error is also that one with this epoch, or
    /// a newer one, lives, or for epoch 0 any.
    pub(super) fn claim(&self, epoch: u32) -> Result<(Claim, Option<Live>), PlaceError> {
        self.check_folder()?;
        // Only while looking: nobody else takes or removes a name meanwhile.
        let _lock = self.lock()?;
        let older = self.newest()?;
        if let Some(Live { epoch: other, pid, .. }) = older
            && (other >= epoch || epoch == 0)
        {
            return Err(PlaceError::InUse { base_id: self.base_id, epoch: other, pid, own: epoch });
        }
        let path = self.path(&epoch.to_string());
        let named = |error| PlaceError::Socket { path: path.clone(), error };
        let listener = listen(&path).map_err(named)?;
        Ok((Claim { listener, path }, older))
    }

    /// The newest process before `epoch`, if one lives.
    pub(super) fn older(&self, epoch: u32) -> Result<Option<Live>, PlaceError> {
        let _lock = self.lock()?;
        self.newest_below(epoch)
    }

    fn newest(&self) -> Result<Option<Live>, PlaceError> {
        self.newest_below(u32::MAX)
    }

    /// The newest living process below `epoch`; removes the names of dead ones.
    fn newest_below(&self, epoch: u32) -> Result<Option<Live>, PlaceError> {
        let mut epochs = self.epochs()?;
        epochs.retain(|other| *other < epoch);
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let mut newest = None;
        for epoch in epochs {
            let path = self.path(&epoch.to_string());
            match dial(&path) {
                Ok((io, pid)) if newest.is_none() => newest = Some(Live { epoch, pid, io }),
                Ok(_) => {}
                Err(error) if is_dead(&error) => drop(std::fs::remove_file(&path)),
                Err(error) => return Err(PlaceError::Socket { path, error }),
            }
        }
        Ok(newest)
    }

    fn folder(&self) -> &Path {
        let folder = self.prefix.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    fn path(&self, last: &str) -> PathBuf {
        let mut path = self.prefix.clone().into_os_string();
        path.push(format!(".{}.{last}", self.base_id));
        path.into()
    }

    /// The epochs for which there is a name.
    fn epochs(&self) -> Result<Vec<u32>, PlaceError> {
        let folder = self.folder();
        let named = |error| PlaceError::Folder { folder: folder.to_owned(), error };
        let start = self.path("");
        let start = start.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut epochs = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(named)? {
            let name = entry.map_err(named)?.file_name();
            let epoch =
                name.to_str().and_then(|name| name.strip_prefix(&start)?.parse::<u32>().ok());
            epochs.extend(epoch);
        }
        Ok(epochs)
    }

    fn check_folder(&self) -> Result<(), PlaceError> {
        let folder = self.folder().to_owned();
        let metadata = match std::fs::metadata(&folder) {
            Ok(metadata) => metadata,
            Err(error) => return Err(PlaceError::Folder { folder, error }),
        };
        let (mode, owner, own) = (metadata.mode() & 0o7777, metadata.uid(), geteuid().as_raw());
        if owner != own && owner != 0 {
            return Err(PlaceError::ForeignFolder { folder, owner, own });
        }
        if mode & 0o022 != 0 {
            return Err(PlaceError::WritableByOthers { folder, mode });
        }
        Ok(())
    }

    fn lock(&self) -> Result<File, PlaceError> {
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).and_then(|file| {
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
        lock.map_err(|error| PlaceError::Socket { path, error })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A listening socket that only this user may use.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects, without waiting for whoever has too many to accept; gives the process that
/// listens, which must be the same user's, or root's.
fn dial(path: &Path) -> io::Result<(UnixStream, i32)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    let pid = check_peer(&socket)?;
    Ok((socket.into(), pid))
}

/// The other process, when it is the same user's or root's.
pub(super) fn check_peer(socket: impl std::os::fd::AsFd) -> io::Result<i32> {
    let peer = socket_peercred(socket)?;
    if peer.uid != geteuid() && !peer.uid.is_root() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("process {} is another user's (uid {})", peer.pid, peer.uid.as_raw()),
        ));
    }
    Ok(peer.pid.as_raw_nonzero().get())
}

/// Nobody listens there any more.
fn is_dead(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("hot-restart"), 3);
        (folder, place)
    }

    #[test]
    fn each_finds_the_one_before() {
        let (folder, place) = place();
        let (first, none) = place.claim(0).unwrap();
        assert!(none.is_none());
        let name = folder.path().join("hot-restart.3.0");
        assert_eq!(std::fs::metadata(&name).unwrap().mode() & 0o777, 0o600);
        let (second, live) = place.claim(1).unwrap();
        let live = live.unwrap();
        assert_eq!((live.epoch, live.pid), (0, std::process::id() as i32));
        // Epochs may be left out.
        let (_third, live) = place.claim(5).unwrap();
        assert_eq!(live.unwrap().epoch, 1);
        drop((first, second));
        assert!(!name.exists());
        assert!(place.older(5).unwrap().is_none());
        // Another base id is another family.
        let other = Place::new(&folder.path().join("hot-restart"), 4);
        assert!(other.claim(0).unwrap().1.is_none());
    }

    #[test]
    fn a_base_id_in_use_names_the_process() {
        let (_folder, place) = place();
        let _living = place.claim(4).unwrap();
        for epoch in [0, 3, 4] {
            let error = place.claim(epoch).err().unwrap().to_string();
            let pid = format!("process {}", std::process::id());
            assert!(error.contains(&pid) && error.contains("--restart-epoch 4"), "{error}");
        }
    }

    #[test]
    fn what_the_dead_left_is_removed() {
        let (folder, place) = place();
        for epoch in [0, 7] {
            let path = folder.path().join(format!("hot-restart.3.{epoch}"));
            // Unlike a claim, a socket leaves its file behind.
            drop(UnixListener::bind(&path).unwrap());
            assert!(path.exists());
        }
        let (_claim, older) = place.claim(0).unwrap();
        assert!(older.is_none());
        assert!(!folder.path().join("hot-restart.3.7").exists());
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let (folder, place) = place();
        for mode in [0o777, 0o1777, 0o770] {
            std::fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let error = place.claim(0).err().unwrap().to_string();
            assert!(error.contains("may be written by others"), "{error}");
        }
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        place.claim(0).unwrap();
        let nowhere = Place::new(Path::new("/nowhere/at/all"), 0);
        assert!(nowhere.claim(0).err().unwrap().to_string().contains("/nowhere"));
    }
}
