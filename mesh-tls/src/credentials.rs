use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use crate::certificate::{self, CertificateDetails, CertificateError};
use crate::{KeyError, PrivateKey, SpiffeId, pem};

/// A certificate chain and its key, which belong together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credentials {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Leaf first; never empty.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKey,
    details: CertificateDetails,
}

/// Why a chain and a key are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The chain is not PEM.
    #[error("the certificate chain is not PEM: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// No certificate in the chain.
    #[error("no certificate found: expected at least one CERTIFICATE block in PEM")]
    Empty,
    /// The leaf cannot be read, or is no SPIFFE certificate.
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate was issued for another key.
    #[error("the private key is not the certificate's")]
    Mismatch,
}

impl Credentials {
    /// From a chain (leaf first) and a key, both in PEM.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CredentialsError> {
        Self::new(chain, PrivateKey::from_pem(key)?)
    }

    /// From a chain in PEM, leaf first, and its key.
    pub fn new(chain: &str, key: PrivateKey) -> Result<Self, CredentialsError> {
        let chain = pem::certificates(chain.as_bytes()).map_err(CredentialsError::Pem)?;
        let leaf = chain.first().ok_or(CredentialsError::Empty)?;
        let details = CertificateDetails::parse(leaf)?;
        if certificate::parse(leaf)?.public_key().raw != key.public_key() {
            return Err(CredentialsError::Mismatch);
        }
        Ok(Self { inner: Arc::new(Inner { chain, key, details }) })
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.inner.chain
    }

    /// The chain in PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        self.inner.chain.iter().map(pem::encode).collect()
    }

    /// The key.
    pub fn key(&self) -> &PrivateKey {
        &self.inner.key
    }

    /// What the leaf says.
    pub fn details(&self) -> &CertificateDetails {
        &self.inner.details
    }
}

/// A workload's credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    credentials: Credentials,
    id: SpiffeId,
}

impl Identity {
    /// From a chain (leaf first) and a key, both in PEM; the leaf has one SPIFFE ID.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CredentialsError> {
        Self::new(Credentials::from_pem(chain, key)?)
    }

    /// From credentials whose leaf has one SPIFFE ID.
    pub fn new(credentials: Credentials) -> Result<Self, CredentialsError> {
        let id = credentials.details().names.spiffe_id()?;
        Ok(Self { credentials, id })
    }

    /// Whose it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The chain and its key.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// From when it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.credentials.details().not_before
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> SystemTime {
        self.credentials.details().not_after
    }
}
