//! Clusters: named groups of endpoints, and what holds for each as a whole.
//!
//! [`Manager`] keeps them by name; workers read it without a lock. What an endpoint counts
//! belongs to cluster and address and survives updates of both.

mod breaker_stats;
mod discovery;
mod dns;
mod health;
mod limits;
mod manager;
mod members;
mod original_dst;
mod outlier;
mod retry_stats;
mod slow_start;
mod stats;
mod subset_stats;
mod transports;

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
use crate::endpoint::{Endpoint, Health, Member};
use crate::load_balancer::Choice;
use crate::secrets::Secrets;
use crate::stats::{Level, Registry};
use crate::transport::tls::SslStats;
use health::Checks;
use limits::Limits;
use members::Members;
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

struct Membership {
    total: Level,
    healthy: Level,
    degraded: Level,
    excluded: Level,
    /// Of the tables of policies that hash.
    tables: OnceLock<Vec<Level>>,
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
        let Membership { healthy, degraded, total, .. } = &self.membership;
        (healthy.value() + degraded.value(), total.value())
    }

    /// A cluster without endpoints yet, or with those of the one that it replaces.
    fn new(
        config: Arc<config::Cluster>,
        registry: &Registry,
        secrets: &Secrets,
        old: Option<&Self>,
    ) -> Self {
        let prefix = format!("cluster.{}", config.stat_name);
        let membership = Membership {
            total: registry.level(&format!("{prefix}.membership_total")),
            healthy: registry.level(&format!("{prefix}.membership_healthy")),
            degraded: registry.level(&format!("{prefix}.membership_degraded")),
            excluded: registry.level(&format!("{prefix}.membership_excluded")),
            tables: OnceLock::new(),
        };
        let transports =
            Transports::new(&config.transports, secrets, old.map(|old| &old.transports));
        let old = old.filter(|old| old.config.bind_address == config.bind_address);
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
            membership,
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
        self.show_membership(&new);
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
        self.show_membership(&members);
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

    fn show_membership(&self, members: &Members) {
        self.membership.total.set(members.all.len() as u64);
        self.membership.healthy.set(members.count(Health::Healthy));
        self.membership.degraded.set(members.count(Health::Degraded));
        let excluded = members.all.iter().filter(|member| member.is_excluded());
        self.membership.excluded.set(excluded.count() as u64);
        if let (Some(subsets), Some(stats)) = (members.balance.subsets(), self.subset_stats.get()) {
            stats.active.set(subsets);
        }
        let stats = members.balance.table_stats();
        if stats.is_empty() {
            return;
        }
        let name = &self.config.stat_name;
        let level =
            |(stat, _): &(&str, u64)| self.registry.level(&format!("cluster.{name}.{stat}"));
        let levels = self.membership.tables.get_or_init(|| stats.iter().map(level).collect());
        levels.iter().zip(&stats).for_each(|(level, (_, value))| level.set(*value));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config(policy: config::LbPolicy) -> Arc<config::Cluster> {
        Arc::new(config::Cluster {
            name: "c".into(),
            stat_name: "c".into(),
            discovery: Discovery::Eds { service_name: "c".into() },
            lb: config::LoadBalancing::by(policy),
            connect_timeout: Duration::from_secs(5),
            protocol: config::HttpProtocol::Http1,
            idle_timeout: None,
            max_connection_duration: None,
            max_requests_per_connection: None,
            breakers: config::Breakers::default(),
            health_check: None,
            ignore_health_on_removal: false,
            outlier: None,
            bind_address: None,
            http1: Arc::default(),
            max_headers_size: 60 * 1024,
            max_headers_count: 100,
            http2: config::Http2Options::default(),
            buffer_limit: config::BufferLimit::default(),
            initial_fetch_timeout: None,
            transports: config::Transports::default(),
        })
    }

    fn assignment(ports: &[u16]) -> LoadAssignment {
        let endpoint = |port: &u16| config::Endpoint::at(([127, 0, 0, 1], *port).into());
        let endpoints = ports.iter().map(endpoint).collect();
        LoadAssignment { endpoints, ..LoadAssignment::default() }
    }

    #[test]
    fn an_endpoint_survives_updates_at_its_address() {
        let registry = Registry::new(1);
        let cluster = Cluster::new(
            config(config::LbPolicy::RoundRobin),
            &registry,
            &Secrets::default(),
            None,
        );
        assert!(cluster.pick(PickContext::default()).is_none());
        cluster.assign(&assignment(&[1]));
        let first = cluster.pick(PickContext::default()).unwrap();
        first.test_active_requests(7);
        cluster.assign(&assignment(&[2, 1]));
        let next = Cluster::new(
            config(config::LbPolicy::Random),
            &registry,
            &Secrets::default(),
            Some(&cluster),
        );
        cluster.retire(Some(&next));
        next.assign(&assignment(&[1]));
        let again = next.pick(PickContext::default()).unwrap();
        assert_eq!(again.active_requests(), 7);
        assert!(!again.is_removed());
        next.assign(&assignment(&[3]));
        assert!(again.is_removed());
    }

    #[test]
    fn an_endpoint_that_is_spoken_to_otherwise_is_another_one() {
        let secured = |sni: &str| {
            let mut config = config::Cluster::clone(&config(config::LbPolicy::RoundRobin));
            config.transports = transports(sni);
            Arc::new(config)
        };
        let labelled = |mode: &str| {
            let mut assignment = assignment(&[1]);
            assignment.endpoints[0].labels.insert("tlsMode".into(), mode.into());
            assignment
        };
        let (registry, secrets) = (Registry::new(1), Secrets::default());
        let cluster = Cluster::new(secured("a"), &registry, &secrets, None);
        let pick = |cluster: &Cluster| cluster.pick(PickContext::default()).unwrap();
        cluster.assign(&labelled("istio"));
        let by_tls = pick(&cluster);
        assert!(by_tls.tls.is_some());
        cluster.assign(&labelled("disabled"));
        assert!(by_tls.is_removed());
        let plain = pick(&cluster);
        assert!(plain.tls.is_none());
        cluster.assign(&labelled("istio"));
        let first = pick(&cluster);
        // The same transports, though made anew, keep it; others do not.
        let mut other = config::Cluster::clone(&secured("a"));
        other.connect_timeout += Duration::from_secs(1);
        let same = Cluster::new(Arc::new(other), &registry, &secrets, Some(&cluster));
        cluster.retire(Some(&same));
        assert_eq!((pick(&same).id, first.is_removed()), (first.id, false));
        let changed = Cluster::new(secured("b"), &registry, &secrets, Some(&same));
        same.retire(Some(&changed));
        assert_eq!((pick(&changed).id == first.id, first.is_removed()), (false, true));
    }

    /// TLS with this SNI for endpoints with `tlsMode: istio`, plain text for the others.
    fn transports(sni: &str) -> config::Transports {
        let tls = config::UpstreamTls {
            common: config::CommonTls {
                parameters: mesh_tls::Parameters::default(),
                alpn: Vec::new(),
                certificates: Vec::new(),
                validation: Arc::default(),
                validation_secret: None,
            },
            sni: Some(sni.into()),
            resume: true,
        };
        let labels = config::Labels::from([("tlsMode".into(), "istio".into())]);
        let transport = config::Transport::Tls(Arc::new(tls));
        let one = config::TransportMatch { name: "tlsMode-istio".into(), labels, transport };
        config::Transports { default: config::Transport::RawBuffer, matches: vec![one] }
    }

    #[test]
    fn the_balancer_survives_updates_that_keep_the_policy() {
        let registry = Registry::new(1);
        let cluster = Cluster::new(
            config(config::LbPolicy::RoundRobin),
            &registry,
            &Secrets::default(),
            None,
        );
        cluster.assign(&assignment(&[1, 2, 3]));
        let mut picked = Vec::new();
        let mut current = cluster;
        for _ in 0..6 {
            picked.push(current.pick(PickContext::default()).unwrap().address.port());
            let mut next = config::Cluster::clone(&current.config);
            next.connect_timeout += Duration::from_secs(1);
            current = Cluster::new(Arc::new(next), &registry, &Secrets::default(), Some(&current));
        }
        assert_eq!(picked[..3], picked[3..]);
        picked.truncate(3);
        picked.sort_unstable();
        assert_eq!(picked, [1, 2, 3]);
    }

    #[test]
    fn original_destinations_survive_updates() {
        let registry = Registry::new(1);
        let mut config = config::Cluster::clone(&config(config::LbPolicy::ClusterProvided));
        config.discovery = Discovery::OriginalDst;
        let context =
            PickContext { destination: Some(([10, 0, 0, 1], 80).into()), ..Default::default() };
        let old = Cluster::new(Arc::new(config.clone()), &registry, &Secrets::default(), None);
        let endpoint = old.pick(context).unwrap();
        config.connect_timeout += Duration::from_secs(1);
        let new = Cluster::new(Arc::new(config), &registry, &Secrets::default(), Some(&old));
        old.retire(Some(&new));
        assert_eq!(new.pick(context).unwrap().id, endpoint.id);
        assert!(!endpoint.is_removed());
        new.retire(None);
        assert!(endpoint.is_removed());
    }

    #[tokio::test]
    async fn a_replaced_cluster_asks_dns_no_more() {
        let manager = Manager::new(Registry::new(1), Arc::default());
        let mut config = config::Cluster::clone(&config(config::LbPolicy::Random));
        let lookup =
            config::DnsLookup { refresh: Duration::from_millis(1), ..config::DnsLookup::default() };
        config.discovery = Discovery::Dns {
            names: vec![dns::tests::name("localhost", 80)],
            policy: config::AssignmentPolicy::default(),
            lookup: Box::new(lookup),
        };
        manager.put(Arc::new(config.clone()));
        // As a connection would.
        let old = manager.get("c").unwrap();
        config.connect_timeout += Duration::from_secs(1);
        manager.put(Arc::new(config));
        let new = manager.get("c").unwrap();
        let ended = async {
            while !old.discovering.get().unwrap().is_finished() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
        assert!(!new.discovering.get().unwrap().is_finished());
    }

    #[test]
    fn unhealthy_endpoints_get_nothing() {
        let mut config = config::Cluster::clone(&config(config::LbPolicy::Random));
        config.lb.panic_threshold = 0;
        let (registry, secrets) = (Registry::new(1), Secrets::default());
        let cluster = Cluster::new(Arc::new(config), &registry, &secrets, None);
        let mut one = assignment(&[9]);
        one.endpoints[0].health = config::EndpointHealth::Draining;
        cluster.assign(&one);
        assert!(cluster.is_warm());
        assert!(cluster.pick(PickContext::default()).is_none());
        let mut seen = 0;
        cluster.visit(&mut |_| seen += 1);
        assert_eq!(seen, 1);
    }

    #[test]
    fn avoids_what_was_tried() {
        let cluster = Cluster::new(
            config(config::LbPolicy::RoundRobin),
            &Registry::new(1),
            &Secrets::default(),
            None,
        );
        cluster.assign(&assignment(&[1, 2]));
        let first = cluster.pick(PickContext::default()).unwrap();
        for _ in 0..10 {
            let context = PickContext { tried: &[first.id], ..PickContext::default() };
            assert_ne!(cluster.pick(context).unwrap().id, first.id);
        }
    }
}
