//! The monitoring pages: /live, /ready, /metrics, /debug/syncz.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use mesh_model::Snapshot;
use mesh_runtime::readiness::Readiness;
use mesh_xds::server;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ca::Ca;
use crate::fleet::{Connected, Fleet, gauge};
use crate::webhook;

/// What the pages show.
#[derive(Clone)]
pub struct Monitoring {
    /// Who is connected.
    pub fleet: Arc<Fleet>,
    /// What the webhooks have answered.
    pub webhook: Arc<webhook::Metrics>,
    /// The certificate authority, when there is one.
    pub ca: Arc<OnceLock<Ca>>,
    /// The mesh.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What is still waited for.
    pub readiness: Readiness,
}

impl Monitoring {
    /// The pages.
    pub fn pages(self) -> Router {
        Router::new()
            .route("/ready", get(ready))
            // Only that the process lives: waiting for something is no reason to be killed.
            .route("/live", get(async || "alive\n"))
            .route("/metrics", get(metrics))
            .route("/debug/syncz", get(syncz))
            .with_state(self)
    }
}

async fn ready(State(monitoring): State<Monitoring>) -> impl IntoResponse {
    match monitoring.readiness.pending() {
        pending if pending.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        pending => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", pending.join(", ")))
        }
    }
}

async fn metrics(State(monitoring): State<Monitoring>) -> impl IntoResponse {
    let mut text = String::new();
    let proxies = monitoring.fleet.proxies().len();
    gauge(&mut text, "pilot_xds", "Proxies connected.", proxies as f64);
    let version = monitoring.snapshots.borrow().version();
    gauge(&mut text, "mesh_pilot_snapshot_version", "The latest snapshot.", version as f64);
    monitoring.fleet.metrics().render(&mut text);
    if let Some(ca) = monitoring.ca.get() {
        ca.render(&mut text);
    }
    monitoring.webhook.render(&mut text);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// What each proxy has, by the name of Istio's page for it.
async fn syncz(State(monitoring): State<Monitoring>) -> impl IntoResponse {
    let proxies: Vec<_> = monitoring.fleet.proxies().iter().map(sync_status).collect();
    axum::Json(proxies)
}

fn sync_status(connected: &Connected) -> Value {
    let types = connected.types.iter().map(|(resource_type, status)| {
        let (state, error) = match &status.state {
            server::State::NotSent => ("NOT_SENT", ""),
            server::State::Unanswered { .. } => ("STALE", ""),
            server::State::Acked => ("SYNCED", ""),
            server::State::Rejected { error } => ("REJECTED", error.as_str()),
        };
        let value = json!({
            "state": state,
            "sent": status.sent_version,
            "acked": status.acked_version,
            "resources": status.resources,
            "error": error,
        });
        (resource_type.to_string(), value)
    });
    json!({
        "proxy": connected.proxy.id,
        "version": connected.version,
        "types": types.collect::<serde_json::Map<_, _>>(),
    })
}
