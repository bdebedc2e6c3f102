//! `/listeners`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Pages;
use crate::config::Address;

/// `name::address`, a line for each address, as in Envoy.
pub(super) fn text(pages: &Pages) -> String {
    let mut page = String::new();
    for listener in pages.data_plane.listeners() {
        for address in std::iter::once(&listener.address).chain(&listener.additional_addresses) {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "{}::{address}", listener.config.name);
        }
    }
    page
}

/// In the shape of Envoy's `Listeners`.
pub(super) fn json(pages: &Pages) -> Value {
    let listeners = pages.data_plane.listeners();
    let status = listeners.iter().map(|listener| {
        let mut status = json!({
            "name": &*listener.config.name,
            "local_address": local(&listener.address),
        });
        if !listener.additional_addresses.is_empty() {
            let additional = listener.additional_addresses.iter().map(local);
            status["additional_local_addresses"] = additional.collect();
        }
        status
    });
    json!({ "listener_statuses": status.collect::<Vec<_>>() })
}

fn local(of: &Address) -> Value {
    match of {
        Address::Ip(of) => address(*of),
        Address::Pipe(path) => json!({ "pipe": { "path": &**path } }),
    }
}

/// An `Address`.
pub(super) fn address(address: std::net::SocketAddr) -> Value {
    json!({
        "socket_address": { "address": address.ip().to_string(), "port_value": address.port() }
    })
}
