//! The network filter `connection_limit`.

use std::time::Duration;

use crate::config;
use crate::network::Counted;
use crate::stats::{Counter, Gauge, Registry};

/// The filter at work: what it counts holds for all workers.
pub(super) struct Limit {
    config: config::ConnectionLimit,
    /// Those below the limit.
    admitted: Gauge,
    /// `connection_limit.<stat_prefix>.active_connections`: those above it, too.
    active: Gauge,
    /// `connection_limit.<stat_prefix>.limited_connections`
    limited: Counter,
}

/// A connection above the limit.
pub(super) struct Above {
    /// How long it is kept, so that its client does not come back at once.
    pub(super) delay: Option<Duration>,
}

impl Limit {
    pub(super) fn new(config: &config::ConnectionLimit, registry: &Registry) -> Self {
        let name = |stat: &str| format!("connection_limit.{}.{stat}", config.stat_prefix);
        Self {
            config: config.clone(),
            admitted: Gauge::default(),
            active: registry.gauge(&name("active_connections")),
            limited: registry.counter(&name("limited_connections")),
        }
    }

    /// Counts a connection to its end, if it is below the limit.
    pub(super) fn admit(&self, counted: &mut Counted) -> Result<(), Above> {
        counted.hold(self.active.hold());
        match self.admitted.hold_below(self.config.max_connections) {
            Some(held) => {
                counted.hold(held);
                Ok(())
            }
            None => {
                self.limited.inc();
                Err(Above { delay: self.config.delay })
            }
        }
    }
}
