//! The pilot's own certificate: signed by its own authority, renewed by itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_tls::{
    AuthorityError, Identity, Moment, Renewal, SanMatcher, SpiffeId, VERSIONS, client_verifier,
    server_config,
};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tracing::{debug, error};

use super::rollover::Trust;

/// After a failure.
const AGAIN: Duration = Duration::from_secs(10);

/// By what names the pilot is found.
#[derive(Clone, Debug)]
pub struct Names {
    /// Its identity.
    pub id: SpiffeId,
    /// Its DNS names.
    pub dns: Vec<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

/// Why there is no TLS for the pilot's own port.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// No certificate.
    #[error("the pilot's own certificate: {0}")]
    Sign(#[from] AuthorityError),
    /// No configuration.
    #[error("TLS for the pilot's own port: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Keeps the TLS of the pilot's ports current.
pub struct Serving {
    trust: watch::Receiver<Trust>,
    names: Names,
    lifetime: Duration,
    config: watch::Sender<Arc<ServerConfig>>,
    webhook: watch::Sender<Arc<ServerConfig>>,
    identity: Identity,
}

/// One certificate, for both ports.
struct Made {
    identity: Identity,
    config: ServerConfig,
    webhook: ServerConfig,
}

impl Serving {
    /// With a first certificate.
    pub fn start(
        mut trust: watch::Receiver<Trust>,
        names: Names,
        lifetime: Duration,
    ) -> Result<Self, ServingError> {
        let now = trust.borrow_and_update().clone();
        let Made { identity, config, webhook } = make(&now, &names, lifetime)?;
        let config = watch::Sender::new(Arc::new(config));
        let webhook = watch::Sender::new(Arc::new(webhook));
        Ok(Self { trust, names, lifetime, config, webhook, identity })
    }

    /// The configuration of the gRPC port, and each change of it.
    pub fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// The configuration of the webhooks' port, and each change of it.
    pub fn webhook_config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.webhook.subscribe()
    }

    /// Renews it in time, and when the authority changes; never ends.
    pub async fn run(mut self) {
        let mut renewal = self.renewal();
        loop {
            let wait = renewal.wait(Moment::now());
            tokio::select! {
                () = tokio::time::sleep(wait) => {
                    if !renewal.wait(Moment::now()).is_zero() {
                        continue;
                    }
                }
                changed = self.trust.changed() => if changed.is_err() { return },
            }
            let trust = self.trust.borrow_and_update().clone();
            match make(&trust, &self.names, self.lifetime) {
                Ok(Made { identity, config, webhook }) => {
                    debug!("the pilot's own certificate is renewed");
                    self.identity = identity;
                    self.config.send_replace(Arc::new(config));
                    self.webhook.send_replace(Arc::new(webhook));
                    renewal = self.renewal();
                }
                Err(error) => {
                    error!(%error, "the old certificate stays");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn renewal(&self) -> Renewal {
        // There is only one pilot that would renew: no jitter.
        Renewal::new(self.identity.not_before(), self.identity.not_after(), Moment::now(), 0.0)
    }
}

/// Clients of the gRPC port need no certificate, to ask for their first one; one that they show
/// is verified. The API server, which asks the webhooks, has none of the mesh.
fn make(trust: &Trust, names: &Names, lifetime: Duration) -> Result<Made, ServingError> {
    let Names { id, dns, ips } = names;
    let identity = trust.authority.issue_serving(id, dns, ips, lifetime, SystemTime::now())?;
    let anybody: &[SanMatcher] = &[];
    let verifier = client_verifier(Some(&trust.bundle), anybody, false);
    let (grpc, http) = ([b"h2".to_vec()], [b"http/1.1".to_vec()]);
    let config = server_config(identity.credentials(), Some(verifier), &grpc, VERSIONS)?;
    let webhook = server_config(identity.credentials(), None, &http, VERSIONS)?;
    Ok(Made { identity, config, webhook })
}
