//! Outlier detection: endpoints that fail more than others get nothing for some time.
//!
//! Workers count on relaxed atomics of the endpoint, and say when something has happened too
//! often in a row; one task of the control side ejects, and looks at the rest now and then.

mod ejector;
mod rates;
mod stats;

pub(crate) use rates::Rates;
use stats::OutlierStats;

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;

use super::Cluster;
use crate::config::OutlierDetection;
use crate::endpoint::{Endpoint, Flag, Reason, Verdict};
use ejector::Ejector;

/// What is said of an endpoint, by its id.
#[derive(Clone, Copy)]
pub(super) enum Event {
    /// By a worker.
    TooOften(u64, Reason),
    /// By a health check.
    IsHealthy(u64),
}

/// The detection of a cluster, as its workers know it.
pub(super) struct Detection {
    settings: Arc<OutlierDetection>,
    events: UnboundedSender<Event>,
    pub(super) rates: Arc<[Rates; 2]>,
}

impl Detection {
    /// With what is to be given to [`detect`].
    pub(super) fn new(settings: &Arc<OutlierDetection>) -> (Self, UnboundedReceiver<Event>) {
        let (events, receiver) = unbounded_channel();
        (Self { settings: Arc::clone(settings), events, rates: Arc::default() }, receiver)
    }
}

impl Cluster {
    /// Counts how a request or a connection to an endpoint ended.
    pub(crate) fn report(&self, endpoint: &Endpoint, verdict: Verdict) {
        let Some(detection) = &self.detection else { return };
        endpoint.standing.monitor().count(verdict, &detection.settings, &mut |reason| {
            // Whoever listens goes with the cluster.
            let _ = detection.events.send(Event::TooOften(endpoint.id, reason));
        });
    }

    /// An ejected endpoint answers health checks.
    pub(super) fn uneject(&self, endpoint: &Endpoint) {
        if let Some(detection) = &self.detection
            && detection.settings.uneject_when_checked
        {
            // Whoever listens goes with the cluster.
            let _ = detection.events.send(Event::IsHealthy(endpoint.id));
        }
    }

    /// Success rates of all endpoints together, of answers and of connections: what
    /// `/clusters` shows. `None` without detection.
    pub(crate) fn success_rates(&self) -> Option<&[Rates; 2]> {
        self.detection.as_ref().map(|detection| &*detection.rates)
    }
}

/// Ejects endpoints and lets them come back, until the cluster is gone or retired.
pub(super) async fn detect(cluster: Weak<Cluster>, mut events: UnboundedReceiver<Event>) {
    let Some((settings, rates, stats)) = cluster.upgrade().and_then(|cluster| {
        let detection = cluster.detection.as_ref()?;
        let stats = OutlierStats::new(&cluster.registry, &cluster.config.stat_name);
        Some((Arc::clone(&detection.settings), Arc::clone(&detection.rates), stats))
    }) else {
        return;
    };
    let first = tokio::time::Instant::now() + settings.interval;
    let mut interval = tokio::time::interval_at(first, settings.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.recv() => match event {
                Some(event) => Some(event),
                None => return,
            },
            _ = interval.tick() => None,
        };
        let Some(cluster) = cluster.upgrade() else { return };
        let members = cluster.members.load_full();
        let mut ejector = Ejector::new(&settings, &stats, &members.all, Instant::now());
        match event {
            Some(Event::TooOften(endpoint, reason)) => ejector.too_often(endpoint, reason),
            Some(Event::IsHealthy(endpoint)) => ejector.is_healthy(endpoint),
            None => ejector.interval(&rates),
        }
        if ejector.has_changed() {
            cluster.refresh();
        }
    }
}

/// Lets all come back at once: there is no detection any more.
pub(super) fn forgive<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) {
    endpoints.for_each(|endpoint| _ = endpoint.standing.clear(Flag::FailedOutlierCheck));
}
