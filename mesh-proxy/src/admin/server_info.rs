//! `/server_info`.

use mesh_proto::text;
use serde_json::{Value, json};

use super::Pages;

/// In the shape of Envoy's `ServerInfo`.
pub(super) fn page(pages: &Pages) -> Value {
    let status = &pages.status;
    let uptime = format!("{}s", status.uptime().as_secs());
    let of_all = format!("{}s", status.uptime_of_all().as_secs());
    // The node was read from text, so it can be written.
    let node = text::to_json(&status.node).unwrap_or_default();
    json!({
        "version": format!("mesh-proxy/{}", env!("CARGO_PKG_VERSION")),
        "state": pages.phase().name(),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": of_all,
        "command_line_options": status.options,
        "node": node,
    })
}
