//! What a Kubernetes API server must know of the rules' kinds.

mod schema;

use serde_json::{Value, json};

use crate::istio::{DestinationRuleSpec, GatewaySpec, PeerAuthenticationSpec, VirtualServiceSpec};
use crate::kinds::{DESTINATION_RULE, GATEWAY, PEER_AUTHENTICATION, RuleKind, VIRTUAL_SERVICE};

struct Kind {
    /// Of its versions the first is stored.
    kind: RuleKind,
    short: &'static str,
    /// What `kubectl get` shows beside name and age: title and JSON path.
    columns: &'static [(&'static str, &'static str)],
    description: &'static str,
    /// Of what is wanted.
    spec: fn() -> Value,
}

const KINDS: [Kind; 4] = [
    Kind {
        kind: DESTINATION_RULE,
        short: "dr",
        columns: &[("Host", ".spec.host")],
        description: "How a service is spoken to, and its subsets",
        spec: schema::of::<DestinationRuleSpec>,
    },
    Kind {
        kind: GATEWAY,
        short: "gw",
        columns: &[("Hosts", ".spec.servers[*].hosts")],
        description: "Where the mesh lets requests in",
        spec: schema::of::<GatewaySpec>,
    },
    Kind {
        kind: PEER_AUTHENTICATION,
        short: "pa",
        columns: &[("Mode", ".spec.mtls.mode")],
        description: "Whether workloads accept mutual TLS, plain text, or both",
        spec: schema::of::<PeerAuthenticationSpec>,
    },
    Kind {
        kind: VIRTUAL_SERVICE,
        short: "vs",
        columns: &[("Gateways", ".spec.gateways"), ("Hosts", ".spec.hosts")],
        description: "Where requests to a host go",
        spec: schema::of::<VirtualServiceSpec>,
    },
];

/// A `CustomResourceDefinition` for each of Istio's kinds that [`rule`](crate::rule()) reads, with
/// its name. The Gateway API's are Kubernetes' own, and installed by whoever wants them.
///
/// Names and versions are Istio's. The schema lets what we do not know pass and keeps it: it must
/// reach us to be refused by name, and would be dropped in silence otherwise.
pub fn definitions() -> Vec<(String, Value)> {
    KINDS.iter().map(Kind::definition).collect()
}

impl Kind {
    fn definition(&self) -> (String, Value) {
        let RuleKind { kind, plural, api_versions, .. } = self.kind;
        let name = self.kind.name();
        let versions: Vec<Value> =
            api_versions.iter().enumerate().map(|(at, one)| self.version(one, at == 0)).collect();
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            // By the label `meshctl` knows them from Istio's of the same name.
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "mesh"}},
            "spec": {
                "group": self.kind.group(),
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": plural,
                    "singular": kind.to_lowercase(),
                    "shortNames": [self.short],
                    "categories": ["mesh"],
                },
                "versions": versions,
            },
        });
        (name, definition)
    }

    fn version(&self, api_version: &str, is_stored: bool) -> Value {
        let mut columns: Vec<Value> = self
            .columns
            .iter()
            .map(|(name, path)| json!({"name": name, "type": "string", "jsonPath": path}))
            .collect();
        columns.push(
            json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}),
        );
        let anything = |description: &str| {
            json!({
                "description": description,
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
            })
        };
        let mut schema = anything(self.description);
        schema["properties"] = json!({
            "spec": (self.spec)(),
            "status": anything("What the control plane made of it"),
        });
        json!({
            "name": api_version.split('/').nth(1).unwrap_or_default(),
            "served": true,
            "storage": is_stored,
            "subresources": {"status": {}},
            "additionalPrinterColumns": columns,
            "schema": {"openAPIV3Schema": schema},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an API server takes it for a structural schema, in which nothing is dropped.
    fn is_structural(schema: &Value) -> bool {
        let allowed = [
            "description",
            "type",
            "nullable",
            "properties",
            "items",
            "additionalProperties",
            "x-kubernetes-preserve-unknown-fields",
        ];
        let fields = schema.as_object().unwrap();
        let kept = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let inside = fields.get("properties").and_then(Value::as_object);
        let inside = inside.into_iter().flat_map(|fields| fields.values());
        let parts = || inside.clone().chain(fields.get("items"));
        let of_kind = match schema["type"].as_str().unwrap() {
            // A map, or what has names.
            "object" => kept != fields.contains_key("additionalProperties"),
            "array" => fields.contains_key("items"),
            "string" | "integer" | "boolean" => fields
                .keys()
                .all(|field| ["description", "type", "nullable"].contains(&field.as_str())),
            _ => false,
        };
        of_kind
            && fields.keys().all(|field| allowed.contains(&field.as_str()))
            && parts().chain(fields.get("additionalProperties")).all(is_structural)
    }

    #[test]
    fn nothing_is_dropped_and_one_version_is_stored() {
        for (name, definition) in definitions() {
            let versions = definition["spec"]["versions"].as_array().unwrap();
            assert_eq!(versions.iter().filter(|one| one["storage"] == true).count(), 1, "{name}");
            for version in versions {
                let schema = &version["schema"]["openAPIV3Schema"];
                assert!(is_structural(schema), "{name}: {schema:#}");
                for part in [schema, &schema["properties"]["spec"], &schema["properties"]["status"]]
                {
                    assert_eq!(part["x-kubernetes-preserve-unknown-fields"], true, "{name}");
                }
            }
        }
    }
}
