//! Circuit breakers: how much of a cluster may be in use at once, in the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::Cluster;

/// What is in use. Each is one relaxed atomic, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
}

/// A limit is reached: Envoy's response flag UO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// One unit of a limit, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<Limits>,
    of: fn(&Limits) -> &AtomicU32,
}

impl Cluster {
    /// Counts a connection against `max_connections`. With `always` it is counted but not
    /// refused: a worker without any connection must be able to have one.
    pub(crate) fn permit_connection(&self, always: bool) -> Result<Permit, Overflow> {
        let max = if always { u32::MAX } else { self.thresholds().max_connections };
        self.permit(|limits| &limits.connections, max)
    }

    /// Counts a request that waits for a connection against `max_pending_requests`.
    pub(crate) fn permit_pending(&self) -> Result<Permit, Overflow> {
        self.permit(|limits| &limits.pending, self.thresholds().max_pending_requests)
    }

    /// Counts a request against `max_requests`.
    pub(crate) fn permit_request(&self) -> Result<Permit, Overflow> {
        self.permit(|limits| &limits.requests, self.thresholds().max_requests)
    }

    /// Counts a retry against `max_retries`.
    pub(crate) fn permit_retry(&self) -> Result<Permit, Overflow> {
        self.permit(|limits| &limits.retries, self.thresholds().max_retries)
    }

    fn permit(&self, of: fn(&Limits) -> &AtomicU32, max: u32) -> Result<Permit, Overflow> {
        // Counted first: two workers that come at once never both take the last unit.
        if of(&self.limits).fetch_add(1, Relaxed) >= max {
            of(&self.limits).fetch_sub(1, Relaxed);
            return Err(Overflow);
        }
        Ok(Permit { limits: Arc::clone(&self.limits), of })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.of)(&self.limits).fetch_sub(1, Relaxed);
    }
}
