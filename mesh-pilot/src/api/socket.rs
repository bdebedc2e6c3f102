//! The Unix socket of the API.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Why the socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens.
    #[error(
        "{0} is in use: another mesh-pilot answers there; stop it or choose another --api-socket"
    )]
    InUse(PathBuf),
    /// Something that is no socket has the name.
    #[error("{0} exists and is no socket; remove it or choose another --api-socket")]
    NoSocket(PathBuf),
    /// A system call failed.
    #[error("cannot {what} {path} (--api-socket): {error}")]
    Io {
        /// "listen on".
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A socket that is listened on.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Listens on `path`, in the place of a socket that nobody listens on any more. Its mode
    /// is 0660, and it belongs to who called sudo, when that was how we were started.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        remove_stale(path).await?;
        let io = |what| move |error| SocketError::Io { what, path: path.to_owned(), error };
        let listener = UnixListener::bind(path).map_err(io("listen on"))?;
        let file = SocketFile(path.to_owned());
        if let Some((user, group)) = sudo_caller() {
            chown(path, Some(user), Some(group)).map_err(io("change the owner of"))?;
        }
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, mode).map_err(io("change the mode of"))?;
        Ok(Self { listener, file })
    }

    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| SocketError::Io {
                what: "remove the stale socket",
                path: path.to_owned(),
                error,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

/// User and group of whoever called sudo.
fn sudo_caller() -> Option<(u32, u32)> {
    let id = |name| std::env::var(name).ok()?.parse().ok();
    Some((id("SUDO_UID")?, id("SUDO_GID")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replaces_a_stale_socket_but_not_a_live_one_nor_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pilot.sock");
        let live = Socket::bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Socket::bind(&path).await, Err(SocketError::InUse(_))));

        // As a crash leaves it: the file without a listener.
        let (listener, file) = live.into_parts();
        drop(listener);
        std::mem::forget(file);
        let again = Socket::bind(&path).await.unwrap();
        drop(again);
        assert!(!path.exists());

        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path).await, Err(SocketError::NoSocket(_))));
    }
}
