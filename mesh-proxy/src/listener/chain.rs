//! A filter chain at work.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_runtime::drain::{self, Trigger, Watcher};

use super::limit::Limit;
use super::stats;
use crate::config::{self, Address};
use crate::network::Filter;
use crate::transport::tls;
use crate::worker::Shared;

/// A filter chain and the means to end the connections that it took. It outlives the
/// listener version that made it when the next version has the same chain.
pub(crate) struct Chain {
    pub(crate) config: Arc<config::FilterChain>,
    pub(super) limits: Vec<Limit>,
    pub(super) filter: Filter,
    /// `None` for plain text.
    pub(super) tls: Option<tls::Server>,
    // Taken out when the chain is retired: the drain ends when each watcher is gone,
    // this one too.
    drain: Mutex<Option<(Trigger, Watcher)>>,
}

impl Chain {
    /// A chain of the listener of this address. An error is that of opening an access log.
    pub(super) fn new(
        config: Arc<config::FilterChain>,
        address: &Address,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let filter = Filter::new(&config.filter, shared)?;
        let tls = config.tls.as_ref().map(|config| {
            let prefix = stats::prefix(address);
            tls::Server::new(config, &shared.secrets, &shared.registry, &prefix)
        });
        let limits = config.connection_limits.iter();
        let limits = limits.map(|limit| Limit::new(limit, &shared.registry)).collect();
        Ok(Self { config, limits, filter, tls, drain: Mutex::new(Some(drain::channel())) })
    }

    /// What a connection watches; `None` when the chain takes no connection any more.
    pub(super) fn watch(&self) -> Option<Watcher> {
        let drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        drain.as_ref().map(|(_, watcher)| watcher.clone())
    }

    /// Takes no connection any more, and gives what drains those that are there; `None`
    /// when that was done before.
    pub(crate) fn retire(&self) -> Option<Trigger> {
        let drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner).take();
        drain.map(|(trigger, _)| trigger)
    }

    /// Lets connections go one after the other in the time `over`, and still takes new
    /// ones; [`Chain::encourage`] takes it back.
    pub(crate) fn discourage(&self, over: Duration) {
        self.with_trigger(|trigger| trigger.begin_over(over));
    }

    /// Lets no more connections go. Those that were told to stay told.
    pub(crate) fn encourage(&self) {
        self.with_trigger(Trigger::call_off);
    }

    fn with_trigger(&self, act: impl FnOnce(&Trigger)) {
        let drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((trigger, _)) = &*drain {
            act(trigger);
        }
    }
}
