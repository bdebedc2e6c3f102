//! `/healthz/ready`: whether the pod may be sent requests.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use mesh_runtime::drain::Watcher;

use super::RunArgs;
use super::admin::Admin;

/// Answers for the proxy.
#[derive(Clone)]
pub(super) struct Readiness {
    admin: Admin,
    terminating: Arc<AtomicBool>,
}

impl Readiness {
    pub(super) fn new(admin: Admin) -> Self {
        Self { admin, terminating: Arc::default() }
    }

    /// From now on, not ready.
    pub(super) fn terminate(&self) {
        self.terminating.store(true, Ordering::Relaxed);
    }

    /// Serves on the readiness and on the status port, until the drain.
    pub(super) async fn serve(&self, args: &RunArgs, drain: &Watcher) -> anyhow::Result<()> {
        let ports = [(args.readiness_port, "readiness"), (args.status_port, "the agent's status")];
        for (port, purpose) in ports {
            let address = (Ipv4Addr::UNSPECIFIED, port).into();
            let listener = mesh_runtime::admin::bind(address, purpose)
                .await
                .context("is there another agent in this pod?")?;
            let pages =
                Router::new().route("/healthz/ready", get(healthz_ready)).with_state(self.clone());
            tokio::spawn(mesh_runtime::admin::serve(listener, pages, drain.clone()));
        }
        Ok(())
    }
}

async fn healthz_ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    if readiness.terminating.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "terminating\n".to_owned());
    }
    match readiness.admin.live().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}
