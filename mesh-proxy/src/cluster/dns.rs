//! STRICT_DNS and LOGICAL_DNS: the addresses of names are endpoints.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::time::Duration;

use super::Cluster;
use crate::config::{
    AssignmentPolicy, DnsFamily, DnsLookup, DnsName, DnsResolver, Endpoint, LoadAssignment,
};
use crate::dns::Found;
use crate::random;
use crate::stats::{Counter, Registry};

/// What is looked up.
pub(super) struct Question {
    pub(super) names: Vec<DnsName>,
    pub(super) policy: AssignmentPolicy,
    pub(super) lookup: DnsLookup,
}

/// `cluster.<name>.update_*`
struct Stats {
    attempt: Counter,
    success: Counter,
    failure: Counter,
    empty: Counter,
    no_rebuild: Counter,
}

/// Looks the names up again and again, until the cluster is retired or gone. A name that cannot be
/// looked up keeps the last good answer; a cluster is warm after the first attempt, so
/// that one bad name does not keep the proxy from starting (as in Envoy).
pub(super) async fn resolve(cluster: Weak<Cluster>, question: Question) {
    let Question { names, policy, lookup } = question;
    let Some(stats) =
        cluster.upgrade().map(|cluster| Stats::new(&cluster.registry, &cluster.config.stat_name))
    else {
        return;
    };
    let mut answers = vec![Vec::new(); names.len()];
    let mut failures = 0;
    loop {
        let mut ttl = None;
        let mut failed = false;
        for (name, answer) in names.iter().zip(&mut answers) {
            stats.attempt.inc();
            match look_up(&lookup, &name.host).await {
                Ok(found) => {
                    stats.success.inc();
                    if found.addresses.is_empty() {
                        stats.empty.inc();
                        // It may be there soon.
                        failed = true;
                    }
                    ttl = ttl.into_iter().chain(found.ttl).min();
                    *answer = endpoints(name, found, &lookup);
                }
                Err(error) => {
                    stats.failure.inc();
                    failed = true;
                    let host = &name.host;
                    tracing::warn!(host, %error, "DNS lookup failed; keeping the last answer");
                }
            }
        }
        let Some(cluster) = cluster.upgrade() else { return };
        if !cluster.assign_if_new(LoadAssignment { endpoints: answers.concat(), policy }) {
            stats.no_rebuild.inc();
        }
        drop(cluster);
        failures = if failed { failures + 1 } else { 0 };
        tokio::time::sleep(lookup.next(ttl, failures)).await;
    }
}

impl DnsLookup {
    /// How long it is to the next lookup, after so many failures in a row.
    fn next(&self, ttl: Option<Duration>, failures: u32) -> Duration {
        let jitter = Duration::from_micros(random::below(self.jitter.as_micros() as u64));
        if let Some((base, max)) = self.failure.filter(|_| failures > 0) {
            // Exponential, with full jitter.
            let ceiling = base.saturating_mul(1 << (failures - 1).min(16)).min(max);
            return base + Duration::from_micros(random::below(ceiling.as_micros() as u64));
        }
        match ttl.filter(|ttl| self.respect_ttl && !ttl.is_zero()) {
            Some(ttl) => ttl.max(self.min_refresh) + jitter,
            None => self.refresh + jitter,
        }
    }
}

/// The endpoints of one name.
fn endpoints(name: &DnsName, mut found: Found, lookup: &DnsLookup) -> Vec<Endpoint> {
    if lookup.logical {
        found.addresses.truncate(1);
    } else {
        // In an order that is not the answer's, so that one that only turned around changes
        // nothing.
        found.addresses.sort_unstable();
        found.addresses.dedup();
    }
    let port = name.template.address.port();
    let endpoint = |ip| Endpoint { address: SocketAddr::new(ip, port), ..name.template.clone() };
    found.addresses.into_iter().map(endpoint).collect()
}

/// The addresses that are used.
async fn look_up(lookup: &DnsLookup, host: &str) -> io::Result<Found> {
    let resolver = &lookup.resolver;
    match lookup.family {
        DnsFamily::V4Only => resolver.v4(host).await,
        DnsFamily::V6Only => resolver.v6(host).await,
        DnsFamily::PreferV4 => prefer(resolver.v4(host).await, || resolver.v6(host)).await,
        DnsFamily::PreferV6 => prefer(resolver.v6(host).await, || resolver.v4(host)).await,
        DnsFamily::All => both(resolver, host).await,
    }
}

/// The second answer when the first has no address.
async fn prefer<F: Future<Output = io::Result<Found>>>(
    first: io::Result<Found>,
    second: impl FnOnce() -> F,
) -> io::Result<Found> {
    match first {
        Ok(found) if !found.addresses.is_empty() => Ok(found),
        // Some servers do not know what they should say of one of the two kinds.
        Err(error) => second().await.map_err(|_| error),
        Ok(_) => second().await,
    }
}

async fn both(resolver: &DnsResolver, host: &str) -> io::Result<Found> {
    let (v6, v4) = tokio::join!(resolver.v6(host), resolver.v4(host));
    match (v6, v4) {
        (Ok(v6), Ok(v4)) => {
            let ttl = v6.ttl.into_iter().chain(v4.ttl).min();
            let addresses: Vec<IpAddr> = v6.addresses.into_iter().chain(v4.addresses).collect();
            Ok(Found { addresses, ttl })
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.addresses.is_empty() => Ok(found),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

impl Stats {
    fn new(registry: &Registry, cluster: &str) -> Self {
        let counter = |stat| registry.counter(&format!("cluster.{cluster}.update_{stat}"));
        Self {
            attempt: counter("attempt"),
            success: counter("success"),
            failure: counter("failure"),
            empty: counter("empty"),
            no_rebuild: counter("no_rebuild"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cluster) fn name(host: &str, port: u16) -> DnsName {
        let template = Endpoint { weight: 2, ..Endpoint::at(([0, 0, 0, 0], port).into()) };
        DnsName { host: host.to_owned(), template }
    }

    fn found(ips: &[&str]) -> Found {
        Found { addresses: ips.iter().map(|ip| ip.parse().unwrap()).collect(), ttl: None }
    }

    #[tokio::test]
    async fn keeps_the_wanted_family() {
        let lookup = |family| DnsLookup { family, ..DnsLookup::default() };
        let v4 = look_up(&lookup(DnsFamily::V4Only), "127.0.0.1").await.unwrap();
        assert_eq!(v4, found(&["127.0.0.1"]));
        let none = look_up(&lookup(DnsFamily::V6Only), "127.0.0.1").await.unwrap();
        assert_eq!(none, found(&[]));
        for family in [DnsFamily::PreferV6, DnsFamily::PreferV4, DnsFamily::All] {
            assert_eq!(look_up(&lookup(family), "::1").await.unwrap(), found(&["::1"]));
        }
    }

    #[test]
    fn a_logical_name_is_its_first_address() {
        let all = found(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]);
        let ports = |logical| {
            let lookup = DnsLookup { logical, ..DnsLookup::default() };
            let endpoints = endpoints(&name("web", 81), all.clone(), &lookup);
            endpoints.into_iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ports(true), ["10.0.0.2:81"]);
        assert_eq!(ports(false), ["10.0.0.1:81", "10.0.0.2:81"]);
    }

    #[test]
    fn answers_are_asked_for_again_when_they_do_not_hold_any_more() {
        let seconds = Duration::from_secs;
        let plain = DnsLookup::default();
        assert_eq!(plain.next(Some(seconds(60)), 0), seconds(5));
        let by_ttl = DnsLookup { respect_ttl: true, min_refresh: seconds(2), ..plain };
        assert_eq!(by_ttl.next(Some(seconds(60)), 0), seconds(60));
        assert_eq!(by_ttl.next(Some(seconds(1)), 0), seconds(2));
        assert_eq!(by_ttl.next(Some(seconds(0)), 0), seconds(5));
        let failing = DnsLookup { failure: Some((seconds(1), seconds(4))), ..by_ttl };
        assert!((1..100).all(|failures| failing.next(None, failures) <= seconds(5)));
    }
}
