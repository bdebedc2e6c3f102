//! What watches over a pool.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;

/// Calls `sweep` whenever a connection may have been idle, or there, for too long, which is
/// `timeout` at first, and `close` when
/// the endpoint leaves its cluster. `sweep` gives the time of the next look, if it knows,
/// and `None` when the pool is gone.
pub(super) async fn keep(
    endpoint: Arc<Endpoint>,
    timeout: Option<Duration>,
    sweep: impl Fn(Instant) -> Option<Option<Instant>>,
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
            let Some(known) = sweep(now) else { return };
            next = known.unwrap_or(now + timeout);
        }
    } else {
        removed.await;
    }
    close();
}
