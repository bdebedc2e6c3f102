//! A draining Envoy does not end by itself: it is asked to drain, and watched until it has
//! no connection left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::admin::Admin;

/// How often it is asked for its connections.
const COUNT_EVERY: Duration = Duration::from_millis(200);

/// Asks for a graceful drain, without waiting for the answer.
pub(super) fn ask_to_drain(admin: Admin) {
    tokio::spawn(async move {
        if let Err(error) = admin.drain_listeners().await {
            tracing::warn!("the proxy cannot be asked to drain: {error:#}");
        }
    });
}

/// Notifies `empty` when no connection is left.
pub(super) fn watch_connections(admin: Admin, empty: Arc<Notify>) {
    tokio::spawn(async move {
        loop {
            match admin.connections().await {
                Ok(0) => break empty.notify_one(),
                Ok(count) => tracing::debug!(count, "connections left"),
                Err(error) => tracing::warn!("the proxy's connections are unknown: {error:#}"),
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    });
}
