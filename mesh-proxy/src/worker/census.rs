//! How many connections there are, over all listeners.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::stats::{Gauge, Registry};

/// Counts the connections of the process, from the accept to the end of the last bytes.
#[derive(Clone)]
pub(crate) struct Census(Arc<Inner>);

struct Inner {
    total: Gauge,
    emptied: Notify,
}

/// One connection.
pub(crate) struct Member(Census);

impl Census {
    /// Envoy's name of the gauge, which both processes of a hot restart add to.
    pub(crate) const TOTAL: &str = "server.total_connections";

    pub(crate) fn new(registry: &Registry) -> Self {
        let total = registry.gauge(Self::TOTAL);
        Self(Arc::new(Inner { total, emptied: Notify::new() }))
    }

    /// How many there are now.
    pub(crate) fn count(&self) -> u64 {
        self.0.total.value()
    }

    pub(crate) fn enter(&self) -> Member {
        self.0.total.inc();
        Member(self.clone())
    }

    /// Waits until there is no connection. Cancel-safe.
    pub(crate) async fn empty(&self) {
        let mut emptied = std::pin::pin!(self.0.emptied.notified());
        loop {
            // Before the look, so that an end between the two is not missed.
            emptied.as_mut().enable();
            if self.0.total.value() == 0 {
                return;
            }
            emptied.as_mut().await;
            emptied.set(self.0.emptied.notified());
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Inner { total, emptied } = &*self.0.0;
        total.dec();
        if total.value() == 0 {
            emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_empty_when_the_last_one_has_left() {
        let census = Census::new(&Registry::new(1));
        census.empty().await;
        let (one, other) = (census.enter(), census.enter());
        let waiting = tokio::spawn({
            let census = census.clone();
            async move { census.empty().await }
        });
        tokio::task::yield_now().await;
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
    }
}
