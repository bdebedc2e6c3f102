//! Outlier detection: endpoints that fail more than others get nothing for some time.
//!
//! Workers count on relaxed atomics of the endpoint; whoever sees that something has happened
//! too often in a row ejects it, which is rare and takes a lock. A task of the control side
//! looks at the rest now and then.

mod ejector;
mod rates;
mod stats;

pub(crate) use rates::Rates;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::Cluster;
use crate::config::OutlierDetection;
use crate::endpoint::{Endpoint, Flag, Verdict};
use crate::stats::Registry;
use ejector::Ejector;
use stats::OutlierStats;

/// The detection of a cluster.
pub(super) struct Detection {
    settings: Arc<OutlierDetection>,
    rates: [Rates; 2],
    stats: OutlierStats,
    /// Held while somebody is ejected or let back.
    deciding: Mutex<()>,
}

impl Detection {
    pub(super) fn new(
        settings: &Arc<OutlierDetection>,
        registry: &Registry,
        cluster: &str,
    ) -> Self {
        Self {
            settings: Arc::clone(settings),
            rates: Default::default(),
            stats: OutlierStats::new(registry, cluster),
            deciding: Mutex::default(),
        }
    }
}

impl Cluster {
    /// Counts how a request or a connection to an endpoint ended.
    pub(crate) fn report(&self, endpoint: &Endpoint, verdict: Verdict) {
        let Some(detection) = &self.detection else { return };
        endpoint.standing.monitor().count(verdict, &detection.settings, &mut |reason| {
            self.decide(|ejector| ejector.too_often(endpoint.id, reason));
        });
    }

    /// An ejected endpoint answers health checks.
    pub(super) fn uneject(&self, endpoint: &Endpoint) {
        if self.detection.as_ref().is_some_and(|known| known.settings.uneject_when_checked) {
            self.decide(|ejector| ejector.is_healthy(endpoint.id));
        }
    }

    /// Success rates of all endpoints together, of answers and of connections: what
    /// `/clusters` shows. `None` without detection.
    pub(crate) fn success_rates(&self) -> Option<&[Rates; 2]> {
        self.detection.as_ref().map(|detection| &detection.rates)
    }

    fn decide(&self, decide: impl FnOnce(&mut Ejector<'_>)) {
        let Some(detection) = &self.detection else { return };
        let _deciding = detection.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load_full();
        let Detection { settings, stats, .. } = detection;
        let mut ejector = Ejector::new(settings, stats, &members.all, Instant::now());
        decide(&mut ejector);
        if ejector.has_changed() {
            self.refresh();
        }
    }
}

/// Looks at the endpoints again and again, until the cluster is gone or retired.
pub(super) async fn detect(cluster: Weak<Cluster>, settings: Arc<OutlierDetection>) {
    loop {
        tokio::time::sleep(settings.interval).await;
        let Some(cluster) = cluster.upgrade() else { return };
        if let Some(rates) = cluster.success_rates() {
            cluster.decide(|ejector| ejector.interval(rates));
        }
    }
}

/// Lets all come back at once: there is no detection any more.
pub(super) fn forgive<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) {
    endpoints.for_each(|endpoint| _ = endpoint.standing.clear(Flag::FailedOutlierCheck));
}
