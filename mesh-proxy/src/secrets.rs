//! Certificates and roots by name, wherever they come from: each has one place, into which
//! the control side puts what is in force, and from which every handshake takes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::config::{Certificate, Secret, SecretKey, Validation};

/// All places. Handshakes hold theirs; to find one, and to fill it, is for the control side.
pub(crate) struct Secrets {
    places: Mutex<HashMap<SecretKey, Arc<Place>>>,
    changes: watch::Sender<()>,
}

/// Where one secret is, once it is there. Reading takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Place(ArcSwapOption<Secret>);

impl Default for Secrets {
    fn default() -> Self {
        Self { places: Mutex::default(), changes: watch::Sender::new(()) }
    }
}

impl Secrets {
    /// The place of a secret, which may be empty yet.
    pub(crate) fn place(&self, key: &SecretKey) -> Arc<Place> {
        Arc::clone(self.lock().entry(key.clone()).or_default())
    }

    /// The next handshakes take this one.
    pub(crate) fn put(&self, key: &SecretKey, secret: Arc<Secret>) {
        self.place(key).0.store(Some(secret));
        self.changes.send_replace(());
    }

    /// Nobody asks for it any more. Those who have its place keep what is there.
    pub(crate) fn remove(&self, key: &SecretKey) {
        self.lock().remove(key);
    }

    /// Tells whenever a secret was put.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SecretKey, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// `None` when there is none yet, or one of another kind.
    pub(crate) fn certificate(&self) -> Option<Arc<Certificate>> {
        match self.0.load().as_deref() {
            Some(Secret::Certificate(certificate)) => Some(Arc::clone(certificate)),
            Some(Secret::Validation(_)) | None => None,
        }
    }

    /// `None` when there is none yet, or one of another kind.
    pub(crate) fn validation(&self) -> Option<Arc<Validation>> {
        match self.0.load().as_deref() {
            Some(Secret::Validation(validation)) => Some(Arc::clone(validation)),
            Some(Secret::Certificate(_)) | None => None,
        }
    }
}
