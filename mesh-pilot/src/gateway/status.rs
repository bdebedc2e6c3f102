//! What a gateway's status says of what was made for it. Whether it is accepted, the writer of
//! all rules' statuses says. Pure.

use kube::core::DynamicObject;
use mesh_rules::gateway_api::GROUP;
use serde_json::{Value, json};

use super::Wanted;
use crate::cluster;

/// The addresses of a gateway's Service.
pub(super) fn addresses(service: &DynamicObject) -> Vec<Value> {
    let ingress = service.data.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let address = |entry: &Value| match (&entry["ip"], &entry["hostname"]) {
        (Value::String(ip), _) => Some(json!({"type": "IPAddress", "value": ip})),
        (_, Value::String(name)) => Some(json!({"type": "Hostname", "value": name})),
        _ => None,
    };
    ingress.into_iter().flatten().filter_map(address).collect()
}

/// The object to apply to the gateway's status. `made`: the addresses of its Service, or why
/// there is none.
pub(super) fn status(
    wanted: &Wanted,
    stored: &DynamicObject,
    made: &Result<Vec<Value>, String>,
) -> Value {
    let (is_programmed, reason, message) = match made {
        Err(error) => (false, "Invalid", error.as_str()),
        Ok(_) if wanted.is_ready => (true, "Programmed", "It takes requests"),
        Ok(_) => (false, "Pending", "None of its pods is ready"),
    };
    let programmed = ("Programmed", is_programmed, reason);
    let own = vec![json!({"type": "Hostname", "value": wanted.host})];
    let addresses = made.as_ref().ok().filter(|found| !found.is_empty()).unwrap_or(&own);
    let servers = wanted.gateway.servers.iter().zip(&wanted.routes);
    let listeners = servers.map(|(server, routes)| {
        let at = former(stored, &server.name);
        let one = |what, message| condition(stored, &at, what, message);
        json!({
            "name": server.name,
            "attachedRoutes": routes,
            "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}],
            "conditions": [
                one(("Accepted", true, "Accepted"), ""),
                one(("ResolvedRefs", true, "ResolvedRefs"), ""),
                one(programmed, message),
            ],
        })
    });
    let types = stored.types.as_ref();
    json!({
        "apiVersion": types.map(|types| types.api_version.clone()),
        "kind": "Gateway",
        "metadata": {"name": stored.metadata.name, "uid": stored.metadata.uid},
        "status": {
            "addresses": addresses,
            "conditions": [condition(stored, "/status/conditions", programmed, message)],
            "listeners": listeners.collect::<Vec<_>>(),
        },
    })
}

/// Where the conditions of a listener are in the status as it is.
fn former(stored: &DynamicObject, listener: &str) -> String {
    let listeners = stored.data.pointer("/status/listeners").and_then(Value::as_array);
    let mut listeners = listeners.into_iter().flatten();
    let at = listeners.position(|one| one["name"] == listener);
    at.map_or_else(String::new, |at| format!("/status/listeners/{at}/conditions"))
}

/// A condition with its status and reason, since when it was so in the conditions at `at`, or
/// now.
pub(super) fn condition(
    stored: &DynamicObject,
    at: &str,
    what: (&str, bool, &str),
    message: &str,
) -> Value {
    let generation = stored.metadata.generation.unwrap_or_default();
    cluster::condition(stored.data.pointer(at), generation, what, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_model::{
        Gateway, GatewayApi, GatewayHost, GatewayServer, Labels, ServerTransport, ServiceName,
    };

    use super::*;

    fn wanted(is_ready: bool) -> Wanted {
        let server = GatewayServer {
            name: "http".to_owned(),
            port: 80,
            bind: None,
            hosts: vec![GatewayHost { namespace: None, name: "*".to_owned() }],
            transport: ServerTransport::Plain,
        };
        let name = ServiceName { name: "edge".to_owned(), namespace: "shop".to_owned() };
        let gateway = Gateway {
            name,
            api: GatewayApi::Kubernetes,
            selector: Labels::new(),
            servers: vec![server],
        };
        Wanted {
            gateway: Arc::new(gateway),
            config: Arc::default(),
            host: "edge-mesh.shop.svc.cluster.local".to_owned(),
            is_ready,
            routes: vec![3],
        }
    }

    fn stored(status: Value) -> DynamicObject {
        let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "shop", "generation": 2}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn it_is_programmed_when_a_pod_takes_requests_and_says_since_when() {
        let status = |is_ready, stored: &DynamicObject| {
            status(&wanted(is_ready), stored, &Ok(Vec::new()))["status"].take()
        };
        let first = status(false, &stored(json!({})));
        assert_eq!(first["conditions"][0]["status"], "False");
        assert_eq!(first["listeners"][0]["attachedRoutes"], 3);
        assert_eq!(first["addresses"][0]["value"], "edge-mesh.shop.svc.cluster.local");

        let mut known = first;
        known["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        known["listeners"][0]["conditions"][2]["lastTransitionTime"] =
            json!("2026-01-01T00:00:00Z");
        let still = status(false, &stored(known.clone()));
        assert_eq!(still["conditions"], known["conditions"]);
        assert_eq!(still["listeners"], known["listeners"]);
        let ready = status(true, &stored(known));
        assert_eq!(ready["conditions"][0]["status"], "True");
        assert_ne!(ready["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn what_the_api_server_does_not_take_is_told() {
        let error = Err("the name is too long".to_owned());
        let status = status(&wanted(true), &stored(json!({})), &error)["status"].take();
        let condition = &status["conditions"][0];
        assert_eq!(
            (&condition["status"], &condition["message"]),
            (&json!("False"), &json!("the name is too long"))
        );
    }
}
