//! How long a connection may live.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::random;

/// Of one connection: `idle_timeout`, and the end of its `max_connection_duration`.
#[derive(Clone, Copy)]
pub(super) struct Lifetime {
    idle: Option<Duration>,
    end: Option<Instant>,
}

impl Lifetime {
    /// Of a connection that is made now.
    pub(super) fn begin(cluster: &Cluster) -> Self {
        let config = &cluster.config;
        let end = config.max_connection_duration.map(|(duration, jitter)| {
            Instant::now() + duration.mul_f64(1.0 + jitter * random::share())
        });
        Self { idle: config.idle_timeout, end }
    }

    /// Whether it takes no more requests.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end <= Instant::now())
    }

    /// When it is closed if nobody uses it since then.
    pub(super) fn expiry(&self, since: Instant) -> Option<Instant> {
        let idle = self.idle.map(|idle| since + idle);
        idle.into_iter().chain(self.end).min()
    }

    /// Counts why it is closed unused.
    pub(super) fn count_end(&self, cluster: &Cluster) {
        let stats = cluster.stats();
        match self.is_over() {
            true => stats.cx_max_duration_reached.inc(),
            false => stats.cx_idle_timeout.inc(),
        }
    }
}

/// How long it is at most until a new pool has something to close.
pub(super) fn first_look(cluster: &Cluster) -> Option<Duration> {
    let config = &cluster.config;
    let duration = config.max_connection_duration.map(|(duration, _)| duration);
    config.idle_timeout.into_iter().chain(duration).min()
}
