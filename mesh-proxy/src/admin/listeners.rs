//! `/listeners`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Pages;
use crate::config::Address;

/// `name::address`, a line each, as in Envoy.
pub(super) fn text(pages: &Pages) -> String {
    let mut page = String::new();
    for listener in pages.data_plane.listeners() {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{}::{}", listener.config.name, listener.address);
    }
    page
}

/// In the shape of Envoy's `Listeners`.
pub(super) fn json(pages: &Pages) -> Value {
    let listeners = pages.data_plane.listeners();
    let status = listeners.iter().map(|listener| {
        json!({
            "name": &*listener.config.name,
            "local_address": match &listener.address {
                Address::Ip(of) => address(*of),
                Address::Pipe(path) => json!({ "pipe": { "path": &**path } }),
            },
        })
    });
    json!({ "listener_statuses": status.collect::<Vec<_>>() })
}

/// An `Address`.
pub(super) fn address(address: std::net::SocketAddr) -> Value {
    json!({
        "socket_address": { "address": address.ip().to_string(), "port_value": address.port() }
    })
}
