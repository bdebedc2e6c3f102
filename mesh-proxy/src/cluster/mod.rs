//! Clusters: named groups of endpoints, and what holds for each as a whole.
//!
//! [`Manager`] keeps them by name; workers read it without a lock. What an endpoint counts
//! belongs to cluster and address and survives updates of both.

mod breaker_stats;
mod connect;
mod discovery;
mod dns;
mod health;
mod limits;
mod manager;
mod members;
mod membership;
mod original_dst;
mod outlier;
mod retry_stats;
mod slow_start;
mod stats;
mod subset_stats;
#[cfg(test)]
mod tests;
mod transports;

pub(crate) use connect::{Connected, OpenConnection, connect};
pub(crate) use health::FAIL_AT_ONCE;
pub(crate) use limits::{Overflow, Permit};
pub(crate) use manager::Manager;
pub(crate) use stats::ClusterStats;
pub(crate) use transports::Transports;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;

use crate::config::{self, Breakers, Discovery, LoadAssignment, RoutingPriority, Thresholds};
use crate::endpoint::{Endpoint, Member};
use crate::load_balancer::Choice;
use crate::secrets::Secrets;
use crate::stats::Registry;
use crate::transport::tls::SslStats;
use health::Checks;
use limits::Limits;
use members::Members;
use membership::Membership;
use original_dst::OriginalDestinations;
use outlier::Detection;
use subset_stats::SubsetStats;

/// A cluster at work.
pub(crate) struct Cluster {
    pub(crate) config: Arc<config::Cluster>,
    pub(crate) limits: Arc<Limits>,
    registry: Registry,
    /// Made when the first request or connection asks for them.
    stats: OnceLock<ClusterStats>,
    ssl_stats: OnceLock<SslStats>,
    transports: Transports,
    membership: Membership,
    members: ArcSwap<Members>,
    originals: Arc<OriginalDestinations>,
    warm: AtomicBool,
    /// What looks for endpoints, if there is a task for that. It must not go on for a
    /// cluster that was replaced: connections keep that one for as long as they live.
    discovering: OnceLock<AbortHandle>,
    detection: Option<Detection>,
    detecting: OnceLock<AbortHandle>,
    checks: Checks,
    /// Every first endpoint was checked, or there are no checks.
    checked: AtomicBool,
    checking: OnceLock<AbortHandle>,
    starting: OnceLock<AbortHandle>,
    /// Made when the first choice is by subset.
    subset_stats: OnceLock<SubsetStats>,
    /// Held while endpoints or their health change.
    changing: Mutex<()>,
}

/// What a choice of endpoint may depend on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PickContext<'a> {
    /// Where the downstream connection was going, for ORIGINAL_DST.
    pub(crate) destination: Option<SocketAddr>,
    /// The ids of endpoints to avoid if there are others.
    pub(crate) tried: &'a [u64],
    /// The hash of the request, by the route's `hash_policy`, for RING_HASH and MAGLEV.
    pub(crate) hash: Option<u64>,
    /// What the route's `metadata_match` asks of the endpoint under `envoy.lb`, for subsets.
    pub(crate) subset: Option<&'a config::Labels>,
    /// The route's `priority`: which of the cluster's circuit breakers count.
    pub(crate) priority: RoutingPriority,
}

impl Cluster {
    /// How many endpoints are healthy or degraded, and how many there are.
    pub(crate) fn membership(&self) -> (u64, u64) {
        self.membership.usable_and_all()
    }

    /// A cluster without endpoints yet, or with those of the one that it replaces.
    fn new(
        config: Arc<config::Cluster>,
        registry: &Registry,
        secrets: &Secrets,
        old: Option<&Self>,
    ) -> Self {
        let transports =
            Transports::new(&config.transports, secrets, old.map(|old| &old.transports));
        let old = old.filter(|old| old.config.bind_addresses == config.bind_addresses);
        let originals = old.filter(|old| {
            let (before, now) = (old.transports.of_nobody(), transports.of_nobody());
            before.map(Arc::as_ptr) == now.map(Arc::as_ptr)
        });
        let originals = originals.map(|old| Arc::clone(&old.originals));
        let members = old.map(|old| {
            let members = old.members.load();
            Arc::new(Members::new(members.assignment(), &config, &transports, &members))
        });
        Self {
            limits: old.map_or_else(Arc::default, |old| Arc::clone(&old.limits)),
            registry: registry.clone(),
            stats: OnceLock::new(),
            ssl_stats: OnceLock::new(),
            transports,
            membership: Membership::new(registry, &config.stat_name),
            members: members.map_or_else(ArcSwap::default, ArcSwap::new),
            originals: originals.unwrap_or_default(),
            warm: AtomicBool::new(matches!(config.discovery, Discovery::OriginalDst)),
            discovering: OnceLock::new(),
            detection: config
                .outlier
                .as_ref()
                .map(|settings| Detection::new(settings, registry, &config.stat_name)),
            detecting: OnceLock::new(),
            checks: Checks::default(),
            checked: AtomicBool::new(
                config.health_check.is_none() || old.is_some_and(Self::is_warm),
            ),
            checking: OnceLock::new(),
            starting: OnceLock::new(),
            subset_stats: OnceLock::new(),
            changing: Mutex::default(),
            config,
        }
    }

    /// The endpoint for a request or a connection; `None` when none may be used. Takes no
    /// lock, except for an original destination that is met for the first time.
    pub(crate) fn pick(&self, context: PickContext<'_>) -> Option<Arc<Endpoint>> {
        if matches!(self.config.discovery, Discovery::OriginalDst) {
            let tls = self.transports.of_nobody();
            return context.destination.map(|address| self.originals.endpoint(address, tls));
        }
        let members = self.members.load();
        let PickContext { tried, hash, subset, .. } = context;
        let choice = Choice { tried, hash, subset };
        let (picked, way) = members.balance.pick(&self.config.lb, &choice);
        if picked.panic {
            self.stats().lb_healthy_panic.inc();
        }
        // As in Envoy: that nobody is found is no fallback.
        if let Some(way) = way.filter(|_| picked.endpoint.is_some()) {
            self.subset_stats.get_or_init(|| SubsetStats::new(self)).count(way);
        }
        picked.endpoint.cloned()
    }

    pub(crate) fn stats(&self) -> &ClusterStats {
        self.stats.get_or_init(|| {
            let config = &self.config;
            ClusterStats::new(&self.registry, &config.stat_name, &self.limits, &config.breakers)
        })
    }

    /// What is counted of TLS handshakes with its endpoints.
    pub(crate) fn ssl_stats(&self) -> &SslStats {
        self.ssl_stats.get_or_init(|| {
            SslStats::of_cluster(&self.registry, &format!("cluster.{}", self.config.stat_name))
        })
    }

    pub(crate) fn thresholds(&self, priority: RoutingPriority) -> &Thresholds {
        self.config.breakers.of(priority)
    }

    /// Whether its endpoints are known, and were checked once if they are to be.
    pub(crate) fn is_warm(&self) -> bool {
        self.is_known() && self.checked.load(Ordering::Acquire)
    }

    /// Whether its endpoints are known: the first assignment came, or the first DNS answer.
    fn is_known(&self) -> bool {
        self.warm.load(Ordering::Acquire)
    }

    fn has_been_checked(&self) {
        self.checked.store(true, Ordering::Release);
    }

    /// Whether there ever was a connection for a request.
    fn has_had_traffic(&self) -> bool {
        self.stats.get().is_some_and(|stats| stats.cx_total.value() > 0)
    }

    /// Takes the word of an endpoint that says in the headers of a response that it is not
    /// well. Means nothing to a cluster without health checks.
    pub(crate) fn hear(&self, endpoint: &Endpoint, headers: &http::HeaderMap) {
        if self.config.health_check.is_some() && headers.contains_key(FAIL_AT_ONCE) {
            health::take_word(self, endpoint);
        }
    }

    /// Shows each endpoint with its configuration.
    pub(crate) fn visit(&self, see: &mut dyn FnMut(&Member)) {
        self.members.load().all.iter().for_each(&mut *see);
        self.originals.visit(&mut |endpoint| {
            let config = config::Endpoint::at(endpoint.address);
            see(&Member { endpoint: Arc::clone(endpoint), config });
        });
    }

    /// Takes these endpoints: what was there at the same address, and is spoken to in the same
    /// way, stays with all that it counts, what is gone closes its idle connections. Called by the control side alone.
    fn assign(&self, assignment: &LoadAssignment) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let assignment = assignment.clone();
        let new = Members::new(assignment, &self.config, &self.transports, &old);
        let new = Arc::new(new);
        self.show(&new);
        self.members.store(Arc::clone(&new));
        self.warm.store(true, Ordering::Release);
        new.remove_others(&old);
        self.checks.changed.notify_one();
    }

    /// Chooses anew from the endpoints: the health of one has changed.
    fn refresh(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let members = Arc::new(old.refreshed(&self.config.lb));
        self.show(&members);
        self.members.store(Arc::clone(&members));
        members.remove_others(&old);
    }

    /// Weighs endpoints anew as time passes, as a task of the control side.
    fn follow_slow_start(self: &Arc<Self>) {
        let Some(slow_start) = self.config.lb.slow_start else { return };
        let task = tokio::spawn(slow_start::follow(Arc::downgrade(self), slow_start.window));
        // Empty until now.
        let _ = self.starting.set(task.abort_handle());
    }

    /// What is left of its breakers is told from the first moment on, when asked for.
    fn show_breakers(&self) {
        let Breakers { default, high } = &self.config.breakers;
        if default.track_remaining || high.track_remaining {
            self.stats();
        }
    }

    /// Looks for outliers, also as a task of the control side.
    fn detect_outliers(self: &Arc<Self>) {
        let Some(settings) = self.config.outlier.clone() else {
            let members = self.members.load();
            return outlier::forgive(members.all.iter().map(|member| &*member.endpoint));
        };
        let task = tokio::spawn(outlier::detect(Arc::downgrade(self), settings));
        // Empty until now.
        let _ = self.detecting.set(task.abort_handle());
    }

    /// Checks the endpoints' health, as tasks of the control side.
    fn check_health(self: &Arc<Self>) {
        let Some(settings) = self.config.health_check.clone() else {
            let members = self.members.load();
            return health::forget(members.all.iter().map(|member| &*member.endpoint));
        };
        let task = tokio::spawn(health::check(Arc::downgrade(self), settings));
        // Empty until now.
        let _ = self.checking.set(task.abort_handle());
    }

    fn show(&self, members: &Members) {
        self.membership.show(members, &self.registry, &self.config.stat_name);
        if let (Some(subsets), Some(stats)) = (members.balance.subsets(), self.subset_stats.get()) {
            stats.active.set(subsets);
        }
    }

    /// Looks for no more endpoints, and ends their idle connections, except of those that
    /// `successor` took over.
    fn retire(&self, successor: Option<&Self>) {
        let tasks = [&self.discovering, &self.detecting, &self.checking, &self.starting];
        for task in tasks.into_iter().filter_map(OnceLock::get) {
            task.abort();
        }
        let kept = successor.map(|successor| successor.members.load_full());
        for Member { endpoint, .. } in &self.members.load().all {
            let is_kept = kept.as_ref().is_some_and(|kept| kept.has(endpoint));
            if !is_kept {
                endpoint.remove();
            }
        }
        let keeps_originals = successor.is_some_and(|successor| {
            matches!(successor.config.discovery, Discovery::OriginalDst)
                && Arc::ptr_eq(&successor.originals, &self.originals)
        });
        if !keeps_originals {
            self.originals.visit(&mut |endpoint| endpoint.remove());
        }
    }
}
