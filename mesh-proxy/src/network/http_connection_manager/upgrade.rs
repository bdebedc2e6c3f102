//! WebSockets: after the 101 response, bytes both ways.

use mesh_runtime::drain::Watcher;
use tokio::task::spawn_local;

use super::ending::Ending;
use crate::codec::{Upgrade, tunnel};

/// Passes the bytes of an upgraded connection, which lasts until one side ends it or what
/// drains must end at once. The request ends with it.
pub(super) fn start(
    mut ending: Box<Ending>,
    downstream: Upgrade,
    upstream: Upgrade,
    mut drain: Watcher,
) {
    let stats = &ending.manager.stats;
    stats.cx_upgrades_total.inc();
    let active = stats.cx_upgrades_active.hold();
    spawn_local(async move {
        let _active = active;
        let outcome = tokio::select! {
            outcome = tunnel(downstream, upstream) => outcome,
            () = drain.immediate() => Err("drained".to_owned()),
        };
        match outcome {
            Ok((received, sent)) => {
                ending.bytes_received = received;
                ending.bytes_sent = sent;
            }
            Err(error) => tracing::debug!(%error, "an upgraded connection ended"),
        }
        ending.is_complete = true;
    });
}
