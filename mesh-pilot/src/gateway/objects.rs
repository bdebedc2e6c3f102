//! What is made for a gateway. Pure.

use std::collections::BTreeSet;

use kube::core::DynamicObject;
use mesh_inject::Config;
use mesh_model::Gateway;
use mesh_rules::gateway_api::GATEWAY_NAME;
use serde_json::{Value, json};

/// The agent's readiness.
const STATUS_PORT: u16 = 15021;
/// Istio's annotation for the type of the Service.
const SERVICE_TYPE: &str = "networking.istio.io/service-type";

/// The name of all of them.
pub(super) fn name_of(gateway: &str) -> String {
    format!("{gateway}-mesh")
}

/// The service account, the Service and the Deployment of a gateway; `stored` is the
/// gateway itself.
pub(super) fn objects(
    gateway: &Gateway,
    stored: &DynamicObject,
    config: &Config,
) -> Result<Vec<Value>, mesh_inject::Error> {
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(gateway, stored, config),
    });
    let deployment = mesh_inject::inject(deployment(gateway, stored, config), config)?.object;
    Ok(vec![account, service(gateway, stored, config), deployment])
}

fn metadata(gateway: &Gateway, stored: &DynamicObject, config: &Config) -> Value {
    let name = &gateway.name.name;
    let types = stored.types.as_ref();
    json!({
        "name": name_of(name),
        "namespace": gateway.name.namespace,
        "labels": {
            "app.kubernetes.io/part-of": "mesh",
            "app.kubernetes.io/component": "gateway",
            "sidecar.mesh/rev": config.revision,
            GATEWAY_NAME: name,
        },
        "ownerReferences": [{
            "apiVersion": types.map(|types| types.api_version.clone()),
            "kind": "Gateway",
            "name": name,
            "uid": stored.metadata.uid,
        }],
    })
}

fn service(gateway: &Gateway, stored: &DynamicObject, config: &Config) -> Value {
    let wanted = stored.metadata.annotations.as_ref();
    let wanted = wanted.and_then(|annotations| annotations.get(SERVICE_TYPE));
    let numbers: BTreeSet<u16> = gateway.servers.iter().map(|server| server.port).collect();
    let status = json!({"name": "status-port", "port": STATUS_PORT, "targetPort": STATUS_PORT});
    let http = numbers.into_iter().filter(|number| *number != STATUS_PORT).map(|number| {
        // A gateway's pod may listen where it wants.
        json!({"name": format!("http-{number}"), "port": number, "targetPort": number})
    });
    let ports: Vec<_> = [status].into_iter().chain(http).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(gateway, stored, config),
        "spec": {
            "type": wanted.map_or("LoadBalancer", String::as_str),
            "selector": {GATEWAY_NAME: gateway.name.name},
            "ports": ports,
        },
    })
}

/// How many there are of its pods is left to whoever wants to say so.
fn deployment(gateway: &Gateway, stored: &DynamicObject, config: &Config) -> Value {
    let name = &gateway.name.name;
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(gateway, stored, config),
        "spec": {
            "selector": {"matchLabels": {GATEWAY_NAME: name}},
            "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            "template": {
                "metadata": {
                    "annotations": {"inject.istio.io/templates": "gateway"},
                    "labels": {
                        "app.kubernetes.io/part-of": "mesh",
                        "app.kubernetes.io/component": "gateway",
                        GATEWAY_NAME: name,
                        // What the gateway listens for is not the mesh's own TLS.
                        "security.istio.io/tlsMode": "disabled",
                    },
                },
                "spec": {
                    "serviceAccountName": name_of(name),
                    "containers": [{"name": mesh_inject::PROXY_CONTAINER, "image": "auto"}],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use mesh_rules::Meaning;

    use super::*;

    const TEXT: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
  namespace: shop
  uid: 1-2
  annotations: {networking.istio.io/service-type: ClusterIP}
spec:
  gatewayClassName: mesh
  listeners:
    - {name: a, port: 80, protocol: HTTP, hostname: a.com}
    - {name: b, port: 80, protocol: HTTP, hostname: b.com}
    - {name: c, port: 8080, protocol: HTTP}
";

    fn made() -> Vec<Value> {
        let document = mesh_rules::documents("", TEXT).unwrap().remove(0);
        let rule = mesh_rules::rule(&document, mesh_rules::Surroundings::default()).unwrap();
        let Meaning::Gateway(gateway) = rule.meaning else { panic!("{rule:?}") };
        let stored = serde_json::from_value(document.value).unwrap();
        objects(&gateway, &stored, &Config::default()).unwrap()
    }

    #[test]
    fn they_are_the_gateways_own() {
        for object in made() {
            assert_eq!(object["metadata"]["name"], "edge-mesh");
            assert_eq!(object["metadata"]["namespace"], "shop");
            let owner = &object["metadata"]["ownerReferences"][0];
            assert_eq!((&owner["name"], &owner["uid"]), (&json!("edge"), &json!("1-2")));
        }
    }

    #[test]
    fn the_service_has_each_port_once() {
        let spec = &made()[1]["spec"];
        assert_eq!(spec["type"], "ClusterIP");
        let ports = spec["ports"].as_array().unwrap();
        let ports: Vec<_> = ports.iter().map(|port| port["port"].as_u64().unwrap()).collect();
        assert_eq!(ports, [15021, 80, 8080]);
    }

    #[test]
    fn the_pod_is_a_complete_router() {
        let template = &made()[2]["spec"]["template"];
        assert_eq!(template["metadata"]["labels"]["security.istio.io/tlsMode"], "disabled");
        assert!(template["metadata"]["annotations"].get(mesh_inject::STATUS_ANNOTATION).is_some());
        let container = &template["spec"]["containers"][0];
        assert_eq!(container["args"][1], "router");
        assert_eq!(container["image"], Config::default().image);
        assert_eq!(template["spec"]["serviceAccountName"], "edge-mesh");
    }
}
