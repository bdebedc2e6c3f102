//! What can go wrong, in the words that the user reads.

use std::io;
use std::path::PathBuf;

/// An error of the local mesh; its text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document that cannot be run, or not be read.
    #[error("{at}: {message}")]
    Manifest {
        /// File, document and, where it is known, the field's path.
        at: String,
        /// What was found, what was expected, and what to do.
        message: String,
    },
    /// Network namespaces need root.
    #[error("a local mesh makes network namespaces and so needs root: run it with sudo")]
    NotRoot,
    /// A second mesh on the same machine.
    #[error("a local mesh is running already (pid {pid}, state in {}); stop it with `meshctl local down`", state.display())]
    Running {
        /// The supervisor's process id.
        pid: u32,
        /// The supervisor's state folder.
        state: PathBuf,
    },
    /// There is no mesh to talk to.
    #[error("no local mesh is running ({} does not answer); start one with `meshctl local up`", .0.display())]
    NotRunning(PathBuf),
    /// Anything else that has its own words.
    #[error("{0}")]
    Failed(String),
    /// A file or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// `Result` with the local mesh's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn manifest(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Manifest { at: at.into(), message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

/// Names what an `io::Error` happened to.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}
