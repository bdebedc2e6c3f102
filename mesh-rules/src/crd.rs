//! What a Kubernetes API server must know of the rules' kinds.

use serde_json::{Value, json};

use crate::istio::{API_VERSIONS, SECURITY_API_VERSIONS};

struct Kind {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    /// `group/version`, the one that is stored first.
    api_versions: &'static [&'static str],
    /// What `kubectl get` shows beside name and age: title and JSON path.
    columns: &'static [(&'static str, &'static str)],
    description: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        kind: "DestinationRule",
        plural: "destinationrules",
        short: "dr",
        api_versions: &API_VERSIONS,
        columns: &[("Host", ".spec.host")],
        description: "How a service is spoken to, and its subsets",
    },
    Kind {
        kind: "Gateway",
        plural: "gateways",
        short: "gw",
        api_versions: &API_VERSIONS,
        columns: &[("Hosts", ".spec.servers[*].hosts")],
        description: "Where the mesh lets requests in",
    },
    Kind {
        kind: "PeerAuthentication",
        plural: "peerauthentications",
        short: "pa",
        api_versions: &SECURITY_API_VERSIONS,
        columns: &[("Mode", ".spec.mtls.mode")],
        description: "Whether workloads accept mutual TLS, plain text, or both",
    },
    Kind {
        kind: "VirtualService",
        plural: "virtualservices",
        short: "vs",
        api_versions: &API_VERSIONS,
        columns: &[("Gateways", ".spec.gateways"), ("Hosts", ".spec.hosts")],
        description: "Where requests to a host go",
    },
];

/// A kind of rule, as an API server names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleKind {
    /// `VirtualService`.
    pub kind: &'static str,
    /// `networking.istio.io`.
    pub group: &'static str,
    /// The version in which we read and write it.
    pub version: &'static str,
    /// `virtualservices`.
    pub plural: &'static str,
}

/// Every kind that [`rule`](crate::rule()) reads.
pub fn kinds() -> impl Iterator<Item = RuleKind> {
    KINDS.iter().filter_map(|Kind { kind, plural, api_versions, .. }| {
        let (group, version) = api_versions.first()?.split_once('/')?;
        Some(RuleKind { kind, group, version, plural })
    })
}

/// A `CustomResourceDefinition` for each kind that [`rule`](crate::rule()) reads, with its name.
///
/// Names and versions are Istio's. The schema lets everything pass and keeps it: what we do
/// not know must reach us to be refused by name, and would be dropped in silence otherwise.
pub fn definitions() -> Vec<(String, Value)> {
    KINDS.iter().map(Kind::definition).collect()
}

impl Kind {
    fn definition(&self) -> (String, Value) {
        let group = self.api_versions[0].split('/').next().unwrap_or_default();
        let name = format!("{}.{group}", self.plural);
        let versions: Vec<Value> = self
            .api_versions
            .iter()
            .enumerate()
            .map(|(at, one)| self.version(one, at == 0))
            .collect();
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            // By the label `meshctl` knows them from Istio's of the same name.
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "mesh"}},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {
                    "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                    "plural": self.plural,
                    "singular": self.kind.to_lowercase(),
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
            "spec": anything("What is wanted"),
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
    use crate::{documents, rule};

    /// What is read of a kind in a version, as its problems' text.
    fn problems(api_version: &str, kind: &str) -> String {
        let text = format!(
            "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a}}, spec: {{x: 1}}}}"
        );
        let document = documents("a.yaml", &text).unwrap().remove(0);
        let problems = rule(&document, "default", "cluster.local").unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_version_of_every_kind_is_one_that_is_read() {
        for kind in &KINDS {
            for version in kind.api_versions {
                let problems = problems(version, kind.kind);
                assert!(problems.contains("spec.x"), "{version} {}: {problems}", kind.kind);
            }
        }
        assert!(problems("networking.istio.io/v1", "Sidecar").contains("not supported"));
    }

    #[test]
    fn nothing_is_dropped_and_one_version_is_stored() {
        for (name, definition) in definitions() {
            let versions = definition["spec"]["versions"].as_array().unwrap();
            assert_eq!(versions.iter().filter(|one| one["storage"] == true).count(), 1, "{name}");
            for version in versions {
                let schema = &version["schema"]["openAPIV3Schema"];
                for part in [schema, &schema["properties"]["spec"], &schema["properties"]["status"]]
                {
                    assert_eq!(part["x-kubernetes-preserve-unknown-fields"], true, "{name}");
                }
            }
        }
    }
}
