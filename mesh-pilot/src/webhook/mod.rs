//! What the API server asks before it stores an object, over HTTPS: pods get their sidecars
//! (`POST /inject`), and rules that are wrong in themselves are refused (`POST /validate`).
//!
//! Who reaches the port may ask: an answer says nothing that the asker has not sent, but for
//! the names of services and rules that a rule is held against.

mod ca_bundle;
mod cluster;
mod inject;
mod listener;
mod metrics;
mod patch;
mod review;
mod settings;
mod validate;

use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use mesh_inject::Config;
use mesh_runtime::drain::Watcher;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::ca::Ca;
use crate::platform::PlatformAdapter;
use listener::TlsListener;
use review::{Decision, Request};

pub use ca_bundle::{Configurations, keep_ca_bundle};
pub use cluster::Cluster;
pub use metrics::Metrics;
pub use settings::{Settings, SettingsError, follow};

/// The API server takes objects of up to 3 MB, and sends the old one of an update, too.
const MAX_BODY: usize = 8 << 20;

/// What pods are injected with.
pub struct Injection {
    /// What sidecars are made of, and each change of it.
    pub settings: watch::Receiver<Settings>,
    /// Which control plane this is, even when there are no settings that say it.
    pub revision: String,
    /// The cluster, where there is one.
    pub cluster: Option<Cluster>,
}

impl Injection {
    async fn decide(&self, request: &Request) -> Decision {
        let settings = self.settings.borrow().clone();
        match settings {
            Ok(settings) => self.decide_by(request, &settings).await,
            // Who would get no sidecar in any case has nothing to do with it.
            Err(error) => {
                let usual = Config { revision: self.revision.clone(), ..Config::default() };
                match self.decide_by(request, &usual).await {
                    usual if usual.patch.is_empty() => usual,
                    _ => Decision::refused(format!("there is no sidecar for it: {error}")),
                }
            }
        }
    }

    async fn decide_by(&self, request: &Request, settings: &Config) -> Decision {
        match &self.cluster {
            None => inject::decide(request, settings),
            Some(cluster) => cluster.decide(request, settings).await,
        }
    }
}

/// The webhooks. Cheap to clone.
pub struct Webhook<P> {
    platform: Arc<P>,
    injection: Arc<Injection>,
    metrics: Arc<Metrics>,
}

impl<P> Clone for Webhook<P> {
    fn clone(&self) -> Self {
        Self {
            platform: Arc::clone(&self.platform),
            injection: Arc::clone(&self.injection),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl<P: PlatformAdapter> Webhook<P> {
    /// Rules are held against `platform`.
    pub fn new(platform: Arc<P>, injection: Injection) -> Self {
        Self { platform, injection: Arc::new(injection), metrics: Arc::default() }
    }

    /// What was asked, and how it was answered.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Answers with the pilot's own certificate until the drain begins, then until the open
    /// requests are answered.
    pub async fn serve(self, listener: TcpListener, ca: &Ca, mut drain: Watcher) -> io::Result<()> {
        let listener = TlsListener::new(listener, ca.webhook_config(), ca.connections())?;
        axum::serve(listener, self.pages())
            .with_graceful_shutdown(async move {
                drain.begun().await;
            })
            .await
    }

    fn pages(self) -> Router {
        Router::new()
            .route("/inject", post(inject::<P>))
            .route("/validate", post(validate::<P>))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self)
    }
}

async fn inject<P: PlatformAdapter>(
    State(webhook): State<Webhook<P>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, (StatusCode, String)> {
    let request = review::read(&headers, &body)?;
    let decision = webhook.injection.decide(&request).await;
    webhook.metrics.inject(&decision);
    Ok(Json(review::write(&request, decision)))
}

async fn validate<P: PlatformAdapter>(
    State(webhook): State<Webhook<P>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, (StatusCode, String)> {
    let request = review::read(&headers, &body)?;
    let decision = validate::decide(&request, webhook.platform.as_ref()).await;
    webhook.metrics.validate(&decision);
    Ok(Json(review::write(&request, decision)))
}

#[cfg(test)]
mod same_pods;
#[cfg(test)]
mod tests;
