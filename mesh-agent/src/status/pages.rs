//! Path by path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::{Shared, metrics, probes};

type Text = (StatusCode, String);

/// Of the readiness port.
pub(super) fn readiness() -> Router<Arc<Shared>> {
    Router::new().route("/healthz/ready", get(healthz_ready))
}

/// Of the status port.
pub(super) fn all() -> Router<Arc<Shared>> {
    readiness()
        .route("/stats/prometheus", get(metrics::merged))
        .route("/metrics", get(metrics::merged))
        .route("/app-health/{container}/{probe}", get(probe))
        .route("/app-lifecycle/{container}/{hook}", get(probe))
        .route("/quitquitquit", post(quit))
}

async fn healthz_ready(State(shared): State<Arc<Shared>>) -> Text {
    let unready = |reason: String| (StatusCode::SERVICE_UNAVAILABLE, reason + "\n");
    if shared.terminating.load(Ordering::Relaxed) {
        return unready("terminating".to_owned());
    }
    let pending = shared.conditions.pending();
    if !pending.is_empty() {
        return unready(format!("waiting for {}", pending.join(", ")));
    }
    match shared.admin.live().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => unready(reason),
    }
}

/// The same answer as the application would give to kubelet.
async fn probe(
    State(shared): State<Arc<Shared>>,
    Path(_): Path<(String, String)>,
    request: Request,
) -> Response {
    let path = request.uri().path();
    let Some(probe) = shared.probes.find(path) else {
        let reason = format!("no probe of the application is known at {path}\n");
        return (StatusCode::NOT_FOUND, reason).into_response();
    };
    match probes::ask(probe, &shared.application, request.headers()).await {
        Ok((status, body)) => (status, body).into_response(),
        Err(error) => {
            tracing::debug!("the probe {path} failed: {error:#}");
            shared.metrics.probe_failed();
            // Istio's status for an application that does not answer.
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response()
        }
    }
}

/// Istio's way for a Job to take its sidecar with it.
async fn quit(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
) -> Text {
    // An IPv4 caller has an IPv6 form on a socket for both.
    if !caller.ip().to_canonical().is_loopback() {
        let reason = "only the pod itself may ask this, on 127.0.0.1 or ::1\n";
        return (StatusCode::FORBIDDEN, reason.to_owned());
    }
    tracing::info!("asked to leave: POST /quitquitquit");
    shared.leave.notify_one();
    (StatusCode::OK, "OK\n".to_owned())
}
