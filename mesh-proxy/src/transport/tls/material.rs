//! What a context is made of, and making it anew when that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwapOption;

use super::HandshakeError;
use crate::config::{Certificate, CertificateSource, CommonTls, Validation};
use crate::secrets::{Place, Secrets};

/// Where the certificate and the roots of a context are.
pub(super) struct Sources {
    certificates: Vec<Source>,
    validation: Arc<Validation>,
    validation_secret: Option<Arc<Place>>,
}

enum Source {
    Own(Arc<Certificate>),
    Secret(Arc<Place>),
}

/// What is there at the moment.
pub(super) struct Material {
    pub(super) certificates: Vec<Arc<Certificate>>,
    own: Arc<Validation>,
    secret: Option<Arc<Validation>>,
}

/// A context that is made anew by the first handshake after a change, and shared by all
/// workers.
pub(super) struct Cached<T>(ArcSwapOption<Made<T>>);

/// A context, and what it was made of.
pub(super) struct Made<T> {
    pub(super) material: Material,
    pub(super) context: T,
    /// It took the place of another one, which nobody has said yet.
    is_update: AtomicBool,
}

impl Sources {
    pub(super) fn new(config: &CommonTls, secrets: &Secrets) -> Self {
        Self {
            certificates: config
                .certificates
                .iter()
                .map(|source| match source {
                    CertificateSource::Own(certificate) => Source::Own(Arc::clone(certificate)),
                    CertificateSource::Secret(secret) => Source::Secret(secrets.place(&secret.key)),
                })
                .collect(),
            validation: Arc::clone(&config.validation),
            validation_secret: config
                .validation_secret
                .as_ref()
                .map(|secret| secrets.place(&secret.key)),
        }
    }

    /// What is there now; `None` as long as a secret is missing.
    fn now(&self) -> Option<Material> {
        let certificates = self.certificates.iter().map(|source| match source {
            Source::Own(certificate) => Some(Arc::clone(certificate)),
            Source::Secret(place) => place.certificate(),
        });
        let secret = match &self.validation_secret {
            Some(place) => Some(place.validation()?),
            None => None,
        };
        Some(Material {
            certificates: certificates.collect::<Option<_>>()?,
            own: Arc::clone(&self.validation),
            secret,
        })
    }
}

impl Material {
    /// By whom and how peers are trusted.
    pub(super) fn validation(&self) -> Arc<Validation> {
        match &self.secret {
            Some(secret) => Arc::new(self.own.merged(secret)),
            None => Arc::clone(&self.own),
        }
    }

    fn is(&self, other: &Self) -> bool {
        let secrets = [&self.secret, &other.secret].map(|secret| secret.as_ref().map(Arc::as_ptr));
        let certificates = [&self.certificates, &other.certificates].map(|all| all.iter());
        let [mine, others] = certificates.map(|all| all.map(Arc::as_ptr));
        secrets[0] == secrets[1] && mine.eq(others)
    }
}

impl<T> Cached<T> {
    pub(super) fn new() -> Self {
        Self(ArcSwapOption::empty())
    }

    /// The context of what is there now. The error says that a secret is missing, or that
    /// nothing can be made of what there is.
    pub(super) fn get(
        &self,
        sources: &Sources,
        make: impl FnOnce(&Material) -> Result<T, rustls::Error>,
    ) -> Result<Arc<Made<T>>, HandshakeError> {
        let material = sources.now().ok_or_else(HandshakeError::secret_missing)?;
        let before = self.0.load();
        if let Some(before) = &*before
            && before.material.is(&material)
        {
            return Ok(Arc::clone(before));
        }
        let context = make(&material).map_err(|error| HandshakeError::context(&error))?;
        let is_update = AtomicBool::new(before.is_some());
        let made = Arc::new(Made { material, context, is_update });
        self.0.store(Some(Arc::clone(&made)));
        Ok(made)
    }
}

impl<T> Made<T> {
    /// Whether it took the place of another one; true once.
    pub(super) fn is_update(&self) -> bool {
        self.is_update.load(Relaxed) && self.is_update.swap(false, Relaxed)
    }
}
