//! A draining Envoy does not end by itself: it is asked to drain, and watched until it has
//! no connection left.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::admin::Admin;
use super::agent::Message;
use super::supervisor::Event;

/// How often it is asked for its connections.
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// An Envoy gets the counts of the one before it every 5 seconds.
const COUNTS_OF_BOTH: Duration = Duration::from_secs(6);

/// Asks for a graceful drain, without waiting for the answer.
pub(super) fn ask_to_drain(admin: Admin) {
    tokio::spawn(async move {
        if let Err(error) = admin.drain_listeners().await {
            tracing::warn!("the proxy cannot be asked to drain: {error:#}");
        }
    });
}

/// Says when no connection is left, which of `several` proxies is known later.
pub(super) fn watch_connections(admin: Admin, several: bool, agent: UnboundedSender<Message>) {
    let for_so_long = if several { COUNTS_OF_BOTH } else { Duration::ZERO };
    tokio::spawn(async move {
        let mut empty_since = None;
        loop {
            match admin.connections().await {
                Ok(0) => {
                    let since = *empty_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= for_so_long {
                        // Nobody listens when the agent has left.
                        let _ = agent.send(Message::Event(Event::Empty));
                        return;
                    }
                }
                Ok(count) => {
                    empty_since = None;
                    tracing::debug!(count, "connections left");
                }
                Err(error) => tracing::warn!("the proxy's connections are unknown: {error:#}"),
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    });
}
