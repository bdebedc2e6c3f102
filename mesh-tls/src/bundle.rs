use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::pem;

/// The certificates by which others are trusted: one root, or several while one replaces
/// another. Cheap enough to compare; never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustBundle {
    roots: Vec<CertificateDer<'static>>,
}

/// Why a text or a file is not a bundle of roots.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("cannot read the root certificates {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not PEM.
    #[error("the root certificates are not PEM: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// No `CERTIFICATE` block.
    #[error("no root certificate found: expected at least one CERTIFICATE block in PEM")]
    Empty,
    /// A block is not a certificate.
    #[error("root certificate {index} cannot be used: {source}")]
    Certificate {
        /// Its place, from 1.
        index: usize,
        /// Why.
        source: rustls::Error,
    },
}

impl TrustBundle {
    /// The roots of a PEM text, each once.
    pub fn from_pem(text: &[u8]) -> Result<Self, BundleError> {
        Self::new(pem::certificates(text).map_err(BundleError::Pem)?)
    }

    /// These roots, each once.
    pub fn new(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        let mut roots: Vec<CertificateDer<'static>> = Vec::new();
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            if roots.contains(&certificate) {
                continue;
            }
            store
                .add(certificate.clone())
                .map_err(|source| BundleError::Certificate { index: index + 1, source })?;
            roots.push(certificate);
        }
        if roots.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok(Self { roots })
    }

    /// The roots of a file.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let text =
            fs::read(path).map_err(|source| BundleError::Read { path: path.to_owned(), source })?;
        Self::from_pem(&text)
    }

    /// Both: what is trusted while one root replaces another.
    pub fn merge(&self, other: &Self) -> Self {
        let new = other.roots.iter().filter(|root| !self.roots.contains(root));
        Self { roots: self.roots.iter().chain(new).cloned().collect() }
    }

    /// The roots; at least one.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The roots in PEM.
    pub fn to_pem(&self) -> String {
        self.roots.iter().map(pem::encode).collect()
    }

    /// One that is known to be a root.
    pub(crate) fn from_root(root: CertificateDer<'static>) -> Self {
        Self { roots: vec![root] }
    }

    pub(crate) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        // All of them were taken when the bundle was made.
        store.add_parsable_certificates(self.roots.iter().cloned());
        store
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustBundle({} roots)", self.roots.len())
    }
}
