//! The data plane as the control side sees it.

use std::sync::Arc;

use crate::access_log;
use crate::stats::Registry;
use crate::worker::Workers;

/// What all workers and the control side share. No lock is taken on a request's path.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) workers: Workers,
    pub(crate) access_logs: access_log::Writers,
}

impl Shared {
    /// For `concurrency` workers.
    pub(crate) fn new(concurrency: usize) -> Arc<Self> {
        let registry = Registry::new(concurrency);
        let workers = Workers::default();
        let access_logs = access_log::Writers::new(&registry);
        Arc::new(Self { registry, workers, access_logs })
    }
}
