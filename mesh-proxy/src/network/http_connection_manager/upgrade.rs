//! WebSockets: after the 101 response, bytes both ways.

use std::rc::Rc;

use mesh_runtime::drain::Watcher;
use tokio::task::spawn_local;

use super::ending::Ending;
use super::serve::Counted;
use crate::codec::{self, Upgrade};
use crate::router::Exchange;
use crate::transport::copy::Flow;

/// What has agreed to become a tunnel, and what counts in the books for as long as it is
/// one.
pub(super) struct Tunnel {
    pub(super) downstream: Upgrade,
    pub(super) upstream: Upgrade,
    pub(super) exchange: Option<Exchange>,
    pub(super) connection: Rc<Counted>,
}

/// Passes the bytes of an upgraded connection, which lasts until one side ends it, nothing
/// was said for as long as a stream may be idle, or what drains must end at once. The
/// request ends with it.
pub(super) fn start(mut ending: Box<Ending>, tunnel: Tunnel, mut drain: Watcher) {
    let stats = &ending.manager.stats;
    stats.cx_upgrades_total.inc();
    let active = stats.cx_upgrades_active.hold();
    let idle_timeout = ending.idle_timeout();
    spawn_local(async move {
        let _active = active;
        let Tunnel { downstream, upstream, exchange, connection } = tunnel;
        let flow = Flow::new(None, None);
        let outcome = tokio::select! {
            outcome = codec::tunnel(downstream, upstream, &flow, idle_timeout) => outcome,
            () = drain.immediate() => Err("drained".to_owned()),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "an upgraded connection ended");
        }
        if let Some(exchange) = exchange {
            exchange.complete();
        }
        ending.bytes_received = flow.received();
        ending.bytes_sent = flow.sent();
        ending.is_complete = true;
        drop((ending, connection));
    });
}
