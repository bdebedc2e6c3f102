//! What the proxy is given: the certificate with its key, and the roots.

use std::sync::Arc;

use mesh_tls::{Identity, SpiffeId, TrustBundle};
use tokio::sync::watch;

pub(super) type Receiver = watch::Receiver<Secrets>;

/// The secrets of the moment, each with a number that grows when it changes.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    pub(super) identity: Option<(u64, Identity)>,
    pub(super) roots: Option<(u64, TrustBundle)>,
}

impl Secrets {
    pub(super) fn are_complete(&self) -> bool {
        self.identity.is_some() && self.roots.is_some()
    }
}

/// Changes the secrets. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keeper {
    /// Whose they are to be.
    pub(super) id: SpiffeId,
    secrets: Arc<watch::Sender<Secrets>>,
}

/// No secrets, whoever changes them, and whoever looks at them.
pub(super) fn keep(id: SpiffeId) -> (Keeper, Receiver) {
    let (secrets, receiver) = watch::channel(Secrets::default());
    (Keeper { id, secrets: Arc::new(secrets) }, receiver)
}

impl Keeper {
    pub(super) fn set_identity(&self, identity: Identity) {
        self.secrets.send_modify(|secrets| {
            let number = secrets.identity.as_ref().map_or(0, |(number, _)| *number) + 1;
            secrets.identity = Some((number, identity));
        });
    }

    /// Nothing happens when they are the same as before.
    pub(super) fn set_roots(&self, roots: TrustBundle) {
        self.secrets.send_if_modified(|secrets| {
            let (number, same) = match &secrets.roots {
                Some((number, old)) => (*number, *old == roots),
                None => (0, false),
            };
            if !same {
                tracing::info!(roots = roots.roots().len(), "the roots that are trusted changed");
                secrets.roots = Some((number + 1, roots));
            }
            !same
        });
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        self.secrets.borrow().identity.as_ref().map(|(_, identity)| identity.clone())
    }

    pub(super) fn roots(&self) -> Option<TrustBundle> {
        self.secrets.borrow().roots.as_ref().map(|(_, roots)| roots.clone())
    }

    /// Waits until there are roots. Cancel-safe.
    pub(super) async fn has_roots(&self) {
        // This keeps the channel open: an error cannot come.
        let _ = self.secrets.subscribe().wait_for(|secrets| secrets.roots.is_some()).await;
    }
}
