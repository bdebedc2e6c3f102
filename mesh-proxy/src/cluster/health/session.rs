//! The checks of one endpoint.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};

use super::connection::Target;
use super::state::{Outcome, State, Transition, by_chance};
use super::{Shared, Unchecked, grpc, http, tcp};
use crate::cluster::Cluster;
use crate::config::{HealthCheck, Probe};
use crate::endpoint::{Flag, Member};

/// Checks an endpoint until it leaves its cluster; gives its id.
pub(super) async fn run(
    cluster: Weak<Cluster>,
    member: Member,
    shared: Arc<Shared>,
    unchecked: Unchecked,
) -> u64 {
    let endpoint = Arc::clone(&member.endpoint);
    let mut removed = pin!(endpoint.removed());
    tokio::select! {
        () = check(cluster, member, shared, unchecked) => {}
        () = &mut removed => {}
    }
    endpoint.id
}

async fn check(cluster: Weak<Cluster>, member: Member, shared: Arc<Shared>, unchecked: Unchecked) {
    let settings = &shared.settings;
    let mut unchecked = Some(unchecked);
    let mut state = State::default();
    let mut prober = Prober::new(settings);
    tokio::time::sleep(by_chance(settings.initial_jitter)).await;
    loop {
        shared.stats.attempt.inc();
        let outcome = {
            let Some(cluster) = cluster.upgrade() else { return };
            let target = target(cluster, &member, settings);
            let probe = prober.probe(&target, &shared);
            tokio::time::timeout(settings.timeout, probe).await.unwrap_or(Outcome::Timeout)
        };
        if !settings.reuse_connection || !matches!(outcome, Outcome::Success { .. }) {
            prober.close();
        }
        shared.stats.count(outcome);
        let Some(cluster) = cluster.upgrade() else { return };
        let standing = &member.endpoint.standing;
        let transition = state.take(standing, settings, outcome);
        let name = &cluster.config.name;
        if transition == Transition::Changed {
            let address = member.endpoint.address;
            tracing::info!(cluster = %name, %address, ?outcome, "health changed");
            cluster.refresh();
            shared.stats.show(&cluster);
        }
        if matches!(outcome, Outcome::Success { .. })
            && !standing.has(Flag::FailedActiveCheck)
            && standing.has(Flag::FailedOutlierCheck)
        {
            cluster.uneject(&member.endpoint);
        }
        drop(unchecked.take());
        let interval = settings.intervals.next(outcome, transition, cluster.has_had_traffic());
        drop(cluster);
        tokio::time::sleep(interval).await;
    }
}

/// Where a check goes, and the host that it names.
fn target(cluster: Arc<Cluster>, member: &Member, settings: &HealthCheck) -> Target {
    let own = member.config.health_check.as_deref();
    let address = member.endpoint.address;
    let port = own.and_then(|own| own.port).or(settings.port).unwrap_or(address.port());
    let ip = own.and_then(|own| own.address).unwrap_or(address.ip());
    let configured = match &settings.probe {
        Probe::Http(probe) => probe.host.as_ref(),
        Probe::Grpc(probe) => probe.authority.as_ref(),
        Probe::Tcp(_) => None,
    };
    let host = own.and_then(|own| own.hostname.as_ref()).or(configured);
    let host = Arc::clone(host.unwrap_or(&cluster.config.name));
    let endpoint = Arc::clone(&member.endpoint);
    Target { address: SocketAddr::new(ip, port), cluster, endpoint, host }
}

/// A probe with its connection.
enum Prober {
    Http(http::Prober),
    Grpc(grpc::Prober),
    Tcp(tcp::Prober),
}

impl Prober {
    fn new(settings: &HealthCheck) -> Self {
        match &settings.probe {
            Probe::Http(_) => Self::Http(http::Prober::default()),
            Probe::Grpc(_) => Self::Grpc(grpc::Prober::default()),
            Probe::Tcp(_) => Self::Tcp(tcp::Prober::default()),
        }
    }

    async fn probe(&mut self, target: &Target, shared: &Shared) -> Outcome {
        match (self, &shared.settings.probe) {
            (Self::Http(prober), Probe::Http(settings)) => {
                prober.probe(target, settings, &shared.stats).await
            }
            (Self::Grpc(prober), Probe::Grpc(settings)) => prober.probe(target, settings).await,
            (Self::Tcp(prober), Probe::Tcp(settings)) => prober.probe(target, settings).await,
            // Made of the same settings.
            _ => Outcome::Network,
        }
    }

    fn close(&mut self) {
        match self {
            Self::Http(prober) => prober.close(),
            Self::Grpc(prober) => prober.close(),
            Self::Tcp(prober) => prober.close(),
        }
    }
}
