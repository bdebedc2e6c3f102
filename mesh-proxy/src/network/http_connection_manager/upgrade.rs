//! WebSockets: after the 101 response, bytes both ways.

use mesh_runtime::drain::Watcher;
use tokio::task::spawn_local;

use super::ending::Ending;
use crate::codec::{Upgrade, tunnel};
use crate::transport::copy::Flow;

/// Passes the bytes of an upgraded connection, which lasts until one side ends it, nothing
/// was said for as long as a stream may be idle, or what drains must end at once. The
/// request ends with it.
pub(super) fn start(
    mut ending: Box<Ending>,
    downstream: Upgrade,
    upstream: Upgrade,
    mut drain: Watcher,
) {
    let stats = &ending.manager.stats;
    stats.cx_upgrades_total.inc();
    let active = stats.cx_upgrades_active.hold();
    let idle_timeout = ending.idle_timeout();
    spawn_local(async move {
        let _active = active;
        let flow = Flow::new(None, None);
        let outcome = tokio::select! {
            outcome = tunnel(downstream, upstream, &flow, idle_timeout) => outcome,
            () = drain.immediate() => Err("drained".to_owned()),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "an upgraded connection ended");
        }
        ending.bytes_received = flow.received();
        ending.bytes_sent = flow.sent();
        ending.is_complete = true;
    });
}
