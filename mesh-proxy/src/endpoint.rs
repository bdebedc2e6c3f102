//! One address of a cluster.

mod monitor;
mod standing;

pub(crate) use monitor::{Monitor, Rate, Reason, Verdict};
pub(crate) use standing::{Flag, Standing};

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

use crate::config::{self, EndpointHealth, Name};
use crate::transport::tls;

/// An address with what is counted about it, for all workers together.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Unique in the process: an address that is removed and comes back is another one.
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    /// How it is spoken to; `None` for plain text. Part of what it is: spoken to otherwise, it
    /// is another one.
    pub(crate) tls: Option<Arc<tls::Client>>,
    /// The name that DNS was asked for, or that its configuration gives it.
    pub(crate) hostname: Option<Name>,
    pub(crate) stats: EndpointStats,
    /// Shared with whatever else is at this address in the cluster's other forms.
    pub(crate) standing: Arc<Standing>,
    is_removed: AtomicBool,
    removal: Notify,
}

/// An endpoint as part of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) config: config::Endpoint,
}

/// Whether an endpoint is to get requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    /// When there are too few healthy ones.
    Degraded,
    Unhealthy,
}

impl Member {
    pub(crate) fn health(&self) -> Health {
        let has = |flag| self.endpoint.standing.has(flag);
        if has(Flag::FailedOutlierCheck) || has(Flag::FailedActiveCheck) {
            return Health::Unhealthy;
        }
        match self.config.health {
            EndpointHealth::Healthy if has(Flag::DegradedActiveCheck) => Health::Degraded,
            EndpointHealth::Healthy => Health::Healthy,
            EndpointHealth::Degraded => Health::Degraded,
            EndpointHealth::Unhealthy | EndpointHealth::Timeout | EndpointHealth::Draining => {
                Health::Unhealthy
            }
        }
    }
}

impl Member {
    /// Whether it does not count among the endpoints at all, not even as an unhealthy one.
    pub(crate) fn is_excluded(&self) -> bool {
        let has = |flag| self.endpoint.standing.has(flag);
        self.config.health == EndpointHealth::Draining
            || has(Flag::Excluded)
            || has(Flag::PendingActiveCheck)
    }

    /// What is wrong with it, in Envoy's words and order.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let standing = |flag| self.endpoint.standing.has(flag);
        let discovery = |health| self.config.health == health;
        let all = [
            (standing(Flag::FailedActiveCheck), "failed_active_hc"),
            (standing(Flag::FailedOutlierCheck), "failed_outlier_check"),
            (
                discovery(EndpointHealth::Unhealthy) || discovery(EndpointHealth::Timeout),
                "failed_eds_health",
            ),
            (standing(Flag::DegradedActiveCheck), "degraded_active_hc"),
            (discovery(EndpointHealth::Degraded), "degraded_eds_health"),
            (standing(Flag::PendingRemoval), "pending_dynamic_removal"),
            (standing(Flag::PendingActiveCheck), "pending_active_hc"),
            (standing(Flag::Excluded), "excluded_via_immediate_hc_fail"),
            (standing(Flag::ActiveCheckTimeout), "active_hc_timeout"),
            (discovery(EndpointHealth::Draining), "eds_status_draining"),
        ];
        all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, name)| name).collect()
    }
}

/// Envoy's host statistics, as `/clusters` shows them.
#[derive(Debug, Default)]
pub(crate) struct EndpointStats {
    pub(crate) rq_active: AtomicU64,
    pub(crate) rq_pending_active: AtomicU64,
    pub(crate) rq_total: AtomicU64,
    pub(crate) rq_success: AtomicU64,
    pub(crate) rq_error: AtomicU64,
    pub(crate) rq_timeout: AtomicU64,
    pub(crate) cx_active: AtomicU64,
    pub(crate) cx_total: AtomicU64,
    pub(crate) cx_connect_fail: AtomicU64,
}

/// A request, or a TCP connection, that an endpoint is at work on until this is dropped.
pub(crate) struct ActiveRequest(Arc<Endpoint>);

impl ActiveRequest {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.stats.rq_total.fetch_add(1, Relaxed);
        endpoint.stats.rq_active.fetch_add(1, Relaxed);
        Self(endpoint)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.stats.rq_active.fetch_sub(1, Relaxed);
    }
}

impl Endpoint {
    pub(crate) fn new(
        address: SocketAddr,
        tls: Option<Arc<tls::Client>>,
        hostname: Option<Name>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Relaxed),
            address,
            tls,
            hostname,
            stats: EndpointStats::default(),
            standing: Arc::default(),
            is_removed: AtomicBool::new(false),
            removal: Notify::new(),
        }
    }

    /// Another one at the same address.
    pub(crate) fn after(self, old: &Self) -> Self {
        Self { standing: Arc::clone(&old.standing), ..self }
    }

    /// Whether it is the one of this configuration, spoken to in this way.
    pub(crate) fn is(&self, config: &config::Endpoint, tls: Option<&Arc<tls::Client>>) -> bool {
        self.address == config.address
            && self.hostname == config.hostname
            && self.tls.as_ref().map(Arc::as_ptr) == tls.map(Arc::as_ptr)
    }

    pub(crate) fn active_requests(&self) -> u64 {
        self.stats.rq_active.load(Relaxed)
    }

    /// Whether it is no longer part of its cluster.
    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Relaxed)
    }

    /// Waits until it is no longer part of its cluster.
    pub(crate) async fn removed(&self) {
        // Made before the check, so that a removal in between is not missed.
        let removal = self.removal.notified();
        if !self.is_removed() {
            removal.await;
        }
    }

    pub(crate) fn remove(&self) {
        self.is_removed.store(true, Relaxed);
        self.removal.notify_waiters();
    }

    #[cfg(test)]
    pub(crate) fn test_active_requests(&self, active: u64) {
        self.stats.rq_active.store(active, Relaxed);
    }
}
