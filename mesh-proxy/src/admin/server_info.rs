//! `/server_info`.

use mesh_proto::text;
use serde_json::{Value, json};

use super::Pages;
use crate::cli::Mode;

/// In the shape of Envoy's `ServerInfo`.
pub(super) fn page(pages: &Pages) -> Value {
    let status = &pages.status;
    let uptime = format!("{}s", status.uptime().as_secs());
    let args = &status.args;
    // The node was read from text, so it can be written.
    let node = text::to_json(&status.node).unwrap_or_default();
    json!({
        "version": format!("mesh-proxy/{}", env!("CARGO_PKG_VERSION")),
        "state": pages.phase().name(),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "command_line_options": {
            "concurrency": args.workers(),
            "config_path": args.config_path,
            "config_yaml": args.config_yaml.as_deref().unwrap_or_default(),
            "drain_time": format!("{}s", args.drain_time_s),
            "log_level": args.log_level,
            "mode": match args.mode {
                Mode::Serve => "Serve",
                Mode::Validate => "Validate",
            },
            "restart_epoch": args.restart_epoch,
        },
        "node": node,
    })
}
