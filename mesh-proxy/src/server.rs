//! The data plane as the control side sees it.

mod listeners;
mod stats;
#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::{self, Address};
use crate::listener::Inherited;
use crate::worker::Shared;
use listeners::Listeners;

pub(crate) use listeners::{ListenerError, ListenerInfo};

/// The handle by which the control side changes what the workers do. A clone is the same
/// data plane.
#[derive(Clone)]
pub(crate) struct DataPlane {
    shared: Arc<Shared>,
    listeners: Arc<Mutex<Listeners>>,
}

impl DataPlane {
    /// Starts `concurrency` workers, at least one. Must be called inside the control
    /// side's tokio runtime, which from then on also waits for what drains. Connections
    /// of a listener or filter chain that is removed have `drain_time` to end.
    pub(crate) fn start(
        concurrency: usize,
        shared: Arc<Shared>,
        drain_time: Duration,
    ) -> io::Result<Self> {
        shared.workers.start(concurrency.max(1), &shared)?;
        let control = Handle::try_current().map_err(io::Error::other)?;
        let listeners = Listeners::new(control, drain_time, &shared.registry);
        let listeners = Arc::new(Mutex::new(listeners));
        Ok(Self { shared, listeners })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Accepts nothing until [`DataPlane::open`]: listeners that are put take their sockets
    /// from these, where there are some, or bind. Call it before the first listener.
    pub(crate) fn inherit(&self, inherited: Inherited) {
        self.lock().inherit(inherited);
    }

    /// Begins to accept, after [`DataPlane::inherit`] (closing what no listener claimed), or
    /// again after [`DataPlane::hand_over`]: then the drain is called off, and what changed
    /// of the listeners takes effect. Gives the addresses that are listened on.
    pub(crate) fn open(&self) -> Vec<Address> {
        self.lock().open(&self.shared)
    }

    /// All listening sockets, each worker's, with the addresses; the descriptors are new.
    pub(crate) fn sockets(&self) -> io::Result<Vec<(Address, TcpListener)>> {
        self.lock().sockets()
    }

    /// Leaves accepting to another process that has the sockets of the addresses `claimed`.
    /// Keeps those for [`DataPlane::open`], closes the others once what waits there is
    /// accepted. Listeners that are put from here on wait for that, too. Connections go on.
    pub(crate) fn hand_over(&self, claimed: &[Address]) {
        self.lock().hand_over(claimed);
    }

    /// Lets HTTP connections go one after the other, the last when `over` has passed: HTTP/1
    /// with `Connection: close`, HTTP/2 with GOAWAY.
    pub(crate) fn discourage(&self, over: Duration) {
        self.lock().discourage(over);
    }

    /// Fails health checks, and lets HTTP connections go one after the other in the drain
    /// time; or neither any more. Connections that come are taken.
    pub(crate) fn set_failing(&self, is_failing: bool) {
        self.shared.is_failing.store(is_failing, Ordering::Relaxed);
        self.lock().set_failing(is_failing);
    }

    /// Ends all connections at once, those of removed listeners too. Unlike after
    /// [`DataPlane::drain`] it can go on after that.
    pub(crate) fn cut(&self) {
        self.lock().cut(&self.shared);
    }

    /// Adds listeners, or replaces those of their names: the same configuration does
    /// nothing; with the same address the sockets stay, and new connections see the new
    /// version. Connections keep the filter chain that they began with; those of a chain
    /// that changed or is gone are drained. Gives those that were not taken, for which
    /// nothing changes.
    ///
    /// Waits for the workers for a moment when sockets close. The order does not matter
    /// when one takes another's address; remove what is to go before.
    pub(crate) fn put_listeners(&self, configs: Vec<Arc<config::Listener>>) -> Vec<ListenerError> {
        self.lock().put_all(configs, &self.shared)
    }

    #[cfg(test)]
    pub(crate) fn put_listener(&self, config: Arc<config::Listener>) -> Result<(), ListenerError> {
        self.put_listeners(vec![config]).pop().map_or(Ok(()), Err)
    }

    /// Removes a listener; its connections are drained. When this returns, its address is
    /// free.
    pub(crate) fn remove_listener(&self, name: &str) {
        self.lock().remove(name);
    }

    /// The listeners, in the order of their names.
    pub(crate) fn listeners(&self) -> Vec<ListenerInfo> {
        self.lock().infos()
    }

    /// Stops accepting, lets idle connections go and the others end well: HTTP/1 with
    /// `Connection: close`, HTTP/2 with GOAWAY. What is left after `timeout` ends at once.
    /// From here on listeners are neither added nor removed.
    pub(crate) async fn drain(&self, timeout: Duration) {
        let (mut drains, hurry) = self.lock().retire_all(timeout);
        let all = async { while drains.join_next().await.is_some() {} };
        if tokio::time::timeout(timeout, all).await.is_err()
            && let Some(hurry) = hurry
        {
            // Not dropped: each must end its own connections and see their last log lines.
            hurry.abort().await;
        }
        self.shared.access_logs.flush();
    }

    /// Stops listening where `traffic_direction` is INBOUND, and takes no such listener from
    /// here on. Connections have `timeout` to end, and are told to as with [`Self::drain`].
    pub(crate) fn drain_inbound(&self, timeout: Duration) {
        self.lock().retire_inbound(timeout);
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
