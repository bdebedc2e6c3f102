//! The certificate authority: where its root is kept, whom it believes, what it signs.
//!
//! What needs a cluster (the Secret, TokenReview) is tested against a stub of the API server.

mod args;
mod caller;
mod files;
mod keeper;
mod limits;
mod metrics;
mod rollover;
mod roots;
mod secret;
mod service;
mod serving;
mod store;

use std::sync::Arc;

use mesh_proto::istio::v1::auth::istio_certificate_service_server::IstioCertificateServiceServer;
use mesh_tls::{AcceptCounters, TrustBundle};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

pub use args::{CaArgs, Home, Site};
pub use caller::{Authenticator, Caller, CallerError, JoinTokens, Reviewer};
pub use files::{FileError, GivenFiles};
pub use keeper::{Keeper, KeeperError};
pub use rollover::{Earlier, Rollover, Timing, Trust};
pub use roots::publish as publish_roots;
pub use secret::{SecretError, SecretName, SecretStore};
pub use service::{CertificateService, Lifetimes};
pub use serving::{Names, Serving, ServingError};
pub use store::{Material, RootStore, StoreError};

use metrics::Metrics;

/// Messages are a CSR and little else.
const MAX_MESSAGE: usize = 64 * 1024;

/// The authority as the rest of the pilot sees it. Cheap to clone.
#[derive(Clone)]
pub struct Ca {
    trust: watch::Receiver<Trust>,
    config: watch::Receiver<Arc<ServerConfig>>,
    webhook: watch::Receiver<Arc<ServerConfig>>,
    metrics: Arc<Metrics>,
    connections: Arc<AcceptCounters>,
    service: IstioCertificateServiceServer<CertificateService>,
}

impl Ca {
    /// Loads or makes the root, publishes it, and keeps both and the pilot's own certificate
    /// current.
    pub async fn start(args: &CaArgs, site: &Site<'_>) -> anyhow::Result<Self> {
        let trust_domain = site.trust_domain;
        let lifetimes = args.lifetimes()?;
        let store = args.store(site).await?;
        let timing = Timing::for_lifetime(lifetimes.longest);
        let file = args.root_cert_file(site);
        // What was published last outlives a restart where it is published.
        let roots = match (&site.home, &file) {
            (_, Some(file)) => TrustBundle::read(file).ok(),
            (Home::Cluster(client), None) => roots::published(client.clone(), site.namespace).await,
            (Home::Machine(_), None) => None,
        };
        let shared = matches!(site.home, Home::Cluster(_));
        let earlier = Earlier { roots, shared };
        let keeper = Keeper::start(store, trust_domain, timing, file, earlier).await?;
        let trust = keeper.trust();
        let names = args.names(site)?;
        let serving = Serving::start(trust.clone(), names, lifetimes.default)?;
        let reviewer = args.reviewer(&site.home).await?;
        let authenticator = Authenticator::new(trust_domain, args.join_tokens(), reviewer);
        let metrics = Arc::<Metrics>::default();
        let service =
            CertificateService::new(trust.clone(), authenticator, lifetimes, Arc::clone(&metrics));
        let service =
            IstioCertificateServiceServer::new(service).max_decoding_message_size(MAX_MESSAGE);
        let (config, webhook) = (serving.config(), serving.webhook_config());
        tokio::spawn(keeper.run());
        tokio::spawn(serving.run());
        Ok(Self { trust, config, webhook, metrics, connections: Arc::default(), service })
    }

    /// The TLS of the pilot's port, current at each connection.
    pub fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.clone()
    }

    /// The TLS of the webhooks' port, current at each connection.
    pub fn webhook_config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.webhook.clone()
    }

    /// Who signs and who is trusted, and each change of it.
    pub fn trust(&self) -> watch::Receiver<Trust> {
        self.trust.clone()
    }

    /// Waits until the pilot may be asked: everybody trusts who signs, or does in a moment.
    pub async fn is_known(&self) {
        // Of a keeper that has gone nothing more is to come.
        let _ = self.trust().wait_for(|trust| trust.is_known).await;
    }

    /// Counts the connections of those ports.
    pub fn connections(&self) -> Arc<AcceptCounters> {
        Arc::clone(&self.connections)
    }

    /// `CreateCertificate`.
    pub fn service(&self) -> IstioCertificateServiceServer<CertificateService> {
        self.service.clone()
    }

    /// In Prometheus' text format.
    pub fn render(&self, out: &mut String) {
        self.metrics.render(out, &self.trust.borrow(), &self.connections);
    }
}

#[cfg(test)]
mod tests;
