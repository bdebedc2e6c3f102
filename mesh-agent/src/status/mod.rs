//! What the agent answers: whether the pod is ready (15021 and 15020), the metrics of all
//! that is in it, probes of the application in kubelet's stead, and being told to leave
//! (15020).

mod application;
mod metrics;
mod pages;
mod probes;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use mesh_runtime::drain::Watcher;
use mesh_runtime::readiness::Readiness;
use tokio::sync::Notify;

use crate::proxy::admin::Admin;
use crate::proxy::{ApplicationArgs, RunArgs};
use application::Application;
use metrics::{Metrics, Target};
use probes::Probes;

/// What the pages tell, shared with whoever changes it.
#[derive(Clone)]
pub(crate) struct Status {
    shared: Arc<Shared>,
}

struct Shared {
    admin: Admin,
    application: Application,
    /// What else must be there before the pod is ready.
    conditions: Readiness,
    probes: Probes,
    metrics: Metrics,
    terminating: AtomicBool,
    leave: Notify,
}

impl Status {
    /// `address`: the pod's own, at which the application is reached. `conditions`: what
    /// must have happened, besides the proxy being live, before the pod is ready.
    pub(crate) fn new(
        args: &RunArgs,
        given: &ApplicationArgs,
        admin: Admin,
        address: IpAddr,
        conditions: Readiness,
    ) -> anyhow::Result<Self> {
        let own = [args.status_port, args.readiness_port];
        let shared = Shared {
            admin,
            application: Application::new(address)?,
            conditions,
            probes: Probes::parse(&given.app_probers).context("MESH_KUBE_APP_PROBERS")?,
            metrics: Metrics::new(
                Target::parse(&given.prometheus, &own).context("MESH_PROMETHEUS")?,
            ),
            terminating: AtomicBool::new(false),
            leave: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// From now on, not ready; or not so any more.
    pub(crate) fn terminating(&self, is: bool) {
        self.shared.terminating.store(is, Ordering::Relaxed);
    }

    /// A proxy was started, for the first time or again.
    pub(crate) fn proxy_started(&self) {
        self.shared.metrics.proxy_started();
    }

    /// The agent is to leave.
    pub(crate) fn leave(&self) {
        self.shared.leave.notify_one();
    }

    /// Waits until the agent is asked to leave, by the application (`/quitquitquit`)
    /// or because it has ended.
    /// Cancel-safe.
    pub(crate) async fn told_to_leave(&self) {
        self.shared.leave.notified().await;
    }

    /// Serves on the readiness and on the status port, on every address of IPv4 and IPv6,
    /// until the drain.
    pub(crate) fn serve(&self, args: &RunArgs, drain: &Watcher) -> anyhow::Result<()> {
        let pages = [
            (args.readiness_port, "readiness", pages::readiness()),
            (args.status_port, "the agent's status", pages::all()),
        ];
        for (port, purpose, pages) in pages {
            let listener = mesh_runtime::admin::bind_any(port, purpose)
                .context("is there another agent in this pod?")?;
            let pages = pages.with_state(Arc::clone(&self.shared));
            tokio::spawn(mesh_runtime::admin::serve(listener, pages, drain.clone()));
        }
        Ok(())
    }
}
