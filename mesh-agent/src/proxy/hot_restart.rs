//! What two generations of a proxy need to find each other: Envoy's flags, which mesh-proxy
//! has too.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::binary::Kind;
use super::supervisor::Epoch;

/// A socket's path may have 107 bytes (unix(7)); this is the longest that is added to ours.
const MAX_PREFIX: usize = 107 - "_udp_parent_4294967295".len();

/// The names of one row of generations.
#[derive(Clone, Debug)]
pub(super) struct HotRestart {
    folder: PathBuf,
    base_id: u32,
}

impl HotRestart {
    /// Makes the folder for the sockets in `config_dir`, for the proxy's user alone.
    pub(super) fn prepare(config_dir: &Path, kind: Kind) -> anyhow::Result<Self> {
        let this = Self {
            folder: config_dir.join("hot-restart"),
            base_id: base_id(config_dir, kind).context("--config-dir")?,
        };
        let length = this.socket_path().as_os_str().len();
        ensure!(
            length <= MAX_PREFIX,
            "the path of its sockets, {}, has {length} bytes, at most {MAX_PREFIX} were expected: \
             use a shorter --config-dir",
            this.socket_path().display()
        );
        match DirBuilder::new().mode(0o700).create(&this.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("cannot make {}", this.folder.display()))
            }
            _ => Ok(this),
        }
    }

    /// The flags for a generation.
    pub(super) fn flags(&self, epoch: Epoch) -> Vec<OsString> {
        let mut flags = ["--restart-epoch".into(), epoch.to_string().into()].to_vec();
        flags.extend(["--base-id".into(), self.base_id.to_string().into()]);
        flags.extend(["--socket-path".into(), self.socket_path().into()]);
        flags
    }

    /// Removes what generations that are gone have left. None may live.
    pub(super) fn clear(&self) {
        let left = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        // Envoy never removes it; another kind's is never there.
        let shared = PathBuf::from(format!("/dev/shm/envoy_shared_memory_{}0", self.base_id));
        for path in left.map(|entry| entry.path()).chain([shared]) {
            // Not there is what is wanted; what stays is in nobody's way.
            let _ = fs::remove_file(path);
        }
    }

    fn socket_path(&self) -> PathBuf {
        self.folder.join("socket")
    }
}

/// Names of mesh-proxy's are found in the folder alone. Envoy's shared memory is the
/// machine's: the folder, which no two agents share, gives the number, and gives it again.
fn base_id(config_dir: &Path, kind: Kind) -> io::Result<u32> {
    /// Envoy multiplies it by ten.
    const MAX: u64 = u32::MAX as u64 / 10;
    match kind {
        Kind::Mesh => Ok(0),
        Kind::Envoy => {
            let metadata = fs::metadata(config_dir)?;
            // Folders made one after the other have numbers one after the other.
            let mixed = (metadata.ino() ^ metadata.dev().rotate_left(32))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Ok(u32::try_from((mixed >> 16) % MAX).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn each_folder_has_its_own_base_id() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = |folder: &Path| HotRestart::prepare(folder, Kind::Envoy).unwrap().base_id;
        assert_eq!(id(one.path()), id(one.path()));
        assert_ne!(id(one.path()), id(other.path()));
        let mode = fs::metadata(one.path().join("hot-restart")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_long_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(80));
        fs::create_dir(&long).unwrap();
        let error = HotRestart::prepare(&long, Kind::Mesh).unwrap_err().to_string();
        assert!(error.contains("shorter --config-dir"), "{error}");
    }
}
