//! The pod as the pilot reads it: the manifest with a status, as the API server has it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::plan::GATEWAY;

/// The pod's object with `status`.
pub(crate) fn with_status(object: &Value, address: Ipv4Addr, ready: bool) -> Value {
    let mut object = object.clone();
    let ready = if ready { "True" } else { "False" };
    object["status"] = json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": GATEWAY,
        "conditions": [{"type": "Ready", "status": ready}],
    });
    object
}
