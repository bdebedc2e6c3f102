//! Active health checks: whether endpoints answer is asked of them, again and again.
//!
//! There is a session for each endpoint, a task of the control side; what it finds is in the
//! endpoint's standing, which outlives it.

mod connection;
mod grpc;
mod http;
mod session;
mod state;
mod stats;
mod tcp;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ::http::HeaderName;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Cluster;
use crate::config::HealthCheck;
use crate::endpoint::{Endpoint, Flag, Member};
use stats::HealthStats;

/// By this header an endpoint says, in any answer, that it is not well: it counts as failed
/// until its checks succeed again, where there are checks.
pub(crate) const FAIL_AT_ONCE: HeaderName =
    HeaderName::from_static("x-envoy-immediate-health-check-fail");

/// What is known of the checks of a cluster.
#[derive(Default)]
pub(super) struct Checks {
    /// Told when the endpoints have changed, or one was checked for the first time.
    pub(super) changed: Arc<Notify>,
    /// Endpoints that were never checked.
    unchecked: Arc<AtomicUsize>,
    /// How many answers to requests have said that their endpoint is not well.
    said_failing: AtomicU64,
}

/// An endpoint that was never checked, until this is dropped.
pub(super) struct Unchecked {
    count: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

impl Checks {
    fn begin(&self) -> Unchecked {
        self.unchecked.fetch_add(1, Ordering::Relaxed);
        Unchecked { count: Arc::clone(&self.unchecked), changed: Arc::clone(&self.changed) }
    }
}

impl Drop for Unchecked {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// What the sessions of a cluster share.
struct Shared {
    settings: Arc<HealthCheck>,
    stats: HealthStats,
}

/// Checks the endpoints of a cluster until it is gone or retired. The cluster is warm when all
/// of its first endpoints were checked once, as in Envoy.
pub(super) async fn check(cluster: Weak<Cluster>, settings: Arc<HealthCheck>) {
    let Some(stats) = cluster.upgrade().map(|cluster| HealthStats::of(&cluster)) else { return };
    let shared = Arc::new(Shared { settings, stats });
    let mut sessions = JoinSet::new();
    let mut checked = HashSet::new();
    loop {
        let changed = {
            let Some(cluster) = cluster.upgrade() else { return };
            for member in cluster.members.load().all.iter().filter(|member| is_wanted(member)) {
                if checked.insert(member.endpoint.id) {
                    let unchecked = cluster.checks.begin();
                    let weak = Arc::downgrade(&cluster);
                    let session =
                        session::run(weak, member.clone(), Arc::clone(&shared), unchecked);
                    sessions.spawn(session);
                }
            }
            let said = cluster.checks.said_failing.swap(0, Ordering::Relaxed);
            if said > 0 {
                shared.stats.count_said(said);
                cluster.refresh();
            }
            if cluster.is_known() && cluster.checks.unchecked.load(Ordering::Relaxed) == 0 {
                cluster.has_been_checked();
            }
            shared.stats.show(&cluster);
            Arc::clone(&cluster.checks.changed)
        };
        tokio::select! {
            () = changed.notified() => {}
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                // A session ends with its endpoint.
                if let Ok(endpoint) = ended {
                    checked.remove(&endpoint);
                }
            }
        }
    }
}

/// Takes an endpoint's own word for it that it is not well. The task that checks does the
/// rest: nobody waits on a request's path.
pub(super) fn take_word(cluster: &Cluster, endpoint: &Endpoint) {
    let members = cluster.members.load();
    let mut checked = members.all.iter().filter(|member| is_wanted(member));
    if !checked.any(|member| member.endpoint.id == endpoint.id) {
        return;
    }
    endpoint.standing.set(Flag::FailedActiveCheck);
    endpoint.standing.set(Flag::Excluded);
    cluster.checks.said_failing.fetch_add(1, Ordering::Relaxed);
    cluster.checks.changed.notify_one();
}

/// Whether this endpoint is checked at all.
pub(super) fn is_wanted(member: &Member) -> bool {
    member.config.health_check.as_ref().is_none_or(|config| !config.disabled)
}

/// Forgets what checks have found: there are none any more.
pub(super) fn forget<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) {
    for endpoint in endpoints {
        for flag in [
            Flag::FailedActiveCheck,
            Flag::DegradedActiveCheck,
            Flag::PendingActiveCheck,
            Flag::Excluded,
            Flag::ActiveCheckTimeout,
        ] {
            endpoint.standing.clear(flag);
        }
    }
}
