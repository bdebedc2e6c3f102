//! A root in files: our own folder, or what the user gives.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mesh_tls::TrustBundle;

use super::store::{Material, StoreError};

/// Why files do not make a root.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A system call failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// "read".
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the key, or put another in its place.
    #[error("{path} has mode {mode:o}, so that others may {what}: chmod {wanted} {path}")]
    Open {
        /// The file or folder.
        path: String,
        /// Its mode.
        mode: u32,
        /// "read the authority's key".
        what: &'static str,
        /// The mode that is expected.
        wanted: &'static str,
    },
    /// A folder with neither layout.
    #[error(
        "{0} has neither ca-cert.pem, ca-key.pem, root-cert.pem (Istio's cacerts) nor tls.crt, \
         tls.key, ca.crt (cert-manager's)"
    )]
    Layout(PathBuf),
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError::Io { what, path: path.to_owned(), source }
}

/// Key and certificate, in one file, so that they come to be at once.
pub(super) fn root_file(folder: &Path) -> PathBuf {
    folder.join("root.pem")
}

/// The root in our own folder; a new one when there is none. The folder is made with 0700,
/// the file with 0600 and whole at once: of two who make one, the first wins, and the
/// second takes what the first has made.
pub(super) fn load_or_create(
    folder: &Path,
    make: impl FnOnce() -> Result<Material, StoreError>,
) -> Result<Material, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io_error("make the folder", folder))?;
    check_mode(folder, 0o022, "replace the authority's key", "go-w")?;
    let path = root_file(folder);
    if !path.exists() {
        let made = make()?;
        keep(&path, &(made.key + &made.chain))?;
    }
    Ok(load(folder)?)
}

/// The root in our own folder.
pub(super) fn load(folder: &Path) -> Result<Material, FileError> {
    let path = root_file(folder);
    check_mode(&path, 0o077, "read the authority's key", "600")?;
    let text = read(&path)?;
    Ok(Material { chain: text.clone(), key: text.clone(), root: text })
}

/// Writes the file whole and only if there is none: a link fails where a rename replaces.
fn keep(path: &Path, text: &str) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    let temporary = folder.join(format!(".root.pem.{}", std::process::id()));
    // One that a crash left under our process id.
    let _ = fs::remove_file(&temporary);
    let written = write_new(&temporary, text).map_err(io_error("write", &temporary));
    let linked = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(io_error("make", path)),
    });
    let _ = fs::remove_file(&temporary);
    linked?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(io_error("sync", folder))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn check_mode(
    path: &Path,
    forbidden: u32,
    what: &'static str,
    wanted: &'static str,
) -> Result<(), FileError> {
    let mode = fs::metadata(path).map_err(io_error("read", path))?.permissions().mode() & 0o7777;
    match mode & forbidden {
        0 => Ok(()),
        _ => Err(FileError::Open { path: path.display().to_string(), mode, what, wanted }),
    }
}

fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(io_error("read", path))
}

/// Files that the user gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenFiles {
    /// The issuing certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificates between it and the root, when there are any.
    pub chain: Option<PathBuf>,
    /// The root.
    pub root: PathBuf,
}

impl GivenFiles {
    /// Those of a folder: Istio's `cacerts`, or a Secret of cert-manager as it is mounted.
    pub fn in_folder(folder: &Path) -> Result<Self, FileError> {
        let has = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        if let (Some(cert), Some(key), Some(root)) =
            (has("ca-cert.pem"), has("ca-key.pem"), has("root-cert.pem"))
        {
            return Ok(Self { cert, key, chain: has("cert-chain.pem"), root });
        }
        match (has("tls.crt"), has("tls.key"), has("ca.crt")) {
            (Some(cert), Some(key), Some(root)) => Ok(Self { cert, key, chain: None, root }),
            _ => Err(FileError::Layout(folder.to_owned())),
        }
    }

    /// Reads them.
    pub(super) fn load(&self) -> Result<Material, FileError> {
        let chain = match &self.chain {
            Some(chain) => read(&self.cert)? + "\n" + &read(chain)?,
            None => read(&self.cert)?,
        };
        Ok(Material { chain: once(chain), key: read(&self.key)?, root: read(&self.root)? })
    }
}

/// Istio's cert-chain.pem has the issuing certificate too.
fn once(chain: String) -> String {
    match TrustBundle::from_pem(chain.as_bytes()) {
        Ok(certificates) => certificates.to_pem(),
        // Whoever reads it next says what is wrong.
        Err(_) => chain,
    }
}
