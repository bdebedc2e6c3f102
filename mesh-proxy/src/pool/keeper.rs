//! What watches over a pool.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;

/// A look at a pool for connections that were idle too long.
#[derive(Clone, Copy)]
pub(super) struct Sweep {
    pub(super) now: Instant,
    pub(super) timeout: Duration,
}

/// Calls `sweep` whenever a connection may have been idle for too long, and `close` when
/// the endpoint leaves its cluster. `sweep` gives the time of the next look, if it knows,
/// and `None` when the pool is gone.
pub(super) async fn keep(
    endpoint: Arc<Endpoint>,
    timeout: Option<Duration>,
    sweep: impl Fn(Sweep) -> Option<Option<Instant>>,
    close: impl Fn(),
) {
    let mut removed = pin!(endpoint.removed());
    if let Some(timeout) = timeout {
        let mut next = Instant::now() + timeout;
        loop {
            tokio::select! {
                () = &mut removed => break,
                () = tokio::time::sleep_until(next.into()) => {}
            }
            let now = Instant::now();
            let Some(known) = sweep(Sweep { now, timeout }) else { return };
            next = known.unwrap_or(now + timeout);
        }
    } else {
        removed.await;
    }
    close();
}
