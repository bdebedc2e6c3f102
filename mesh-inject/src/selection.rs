//! Whether a pod is one for this control plane to inject. The webhooks' configurations select by
//! the same labels, so that the API server asks only about such pods; this has the last word.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fields::text;
use crate::pod::Reason;
use crate::{Error, INJECT_KEY, REVISION_LABEL, opt};

/// Namespaces whose pods never get a sidecar: the cluster must heal without the mesh.
pub const EXCLUDED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Ours, then Istio's: `enabled` or `disabled`, for control planes of the revision `default`.
const INJECTION: [&str; 2] = ["mesh-injection", "istio-injection"];
/// Ours, then Istio's: the revision that injects.
const REVISION: [&str; 2] = [REVISION_LABEL, "istio.io/rev"];

/// The namespace of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels; not known to all who ask. Then the namespace counts as one that has chosen
    /// this control plane.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

/// Why a pod of this namespace does not get a sidecar of the control plane of `revision` in
/// `mesh_namespace`; none when it does. A pod's own `istio.io/rev`, and its label that asks for
/// a sidecar, count where the namespace says nothing, as in Istio.
pub fn left_out(
    namespace: Namespace<'_>,
    metadata: &Value,
    revision: &str,
    mesh_namespace: &str,
) -> Result<Option<Reason>, Error> {
    let Namespace { name, labels } = namespace;
    if name == mesh_namespace || EXCLUDED_NAMESPACES.contains(&name) {
        return Ok(Some(Reason::Namespace(format!("pods of {name} never get one"))));
    }
    if let Some(reason) = opt::opted_out(metadata)? {
        return Ok(Some(reason));
    }
    let Some(labels) = labels else { return Ok(None) };
    let of_namespace = |keys: [&'static str; 2]| {
        keys.into_iter().find_map(|key| Some((key, labels.get(key)?.as_str())))
    };
    let is_default = revision == "default";
    let other = |place: String| Ok(Some(Reason::Namespace(place)));
    match (of_namespace(INJECTION), of_namespace(REVISION)) {
        (Some((_, "enabled")), _) if is_default => Ok(None),
        (Some((key, value)), _) => other(format!("namespace {name} has {key}={value}")),
        (None, Some((_, value))) if value == revision => Ok(None),
        (None, Some((key, value))) => other(format!("namespace {name} has {key}={value}")),
        (None, None) => match of_pod(metadata) {
            Some(value) if value == revision => Ok(None),
            Some(value) => other(format!("the pod asks for revision {value}")),
            None if is_default && asks(metadata) => Ok(None),
            None => other(format!("namespace {name} has no label mesh-injection=enabled")),
        },
    }
}

fn of_pod(metadata: &Value) -> Option<&str> {
    REVISION.iter().find_map(|key| text(metadata, &["labels", key]))
}

/// By a label: the API server selects by nothing else. What it says is known to be no "no".
fn asks(metadata: &Value) -> bool {
    [INJECT_KEY, opt::ISTIO_INJECT].iter().any(|key| text(metadata, &["labels", key]).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// With the namespace's and the pod's labels as `key=value`.
    fn injects(revision: &str, namespace: &[&str], pod: &[&str]) -> bool {
        let pairs = |labels: &[&str]| -> BTreeMap<String, String> {
            let split = labels.iter().map(|label| label.split_once('=').unwrap());
            split.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let labels = pairs(namespace);
        let namespace = Namespace { name: "shop", labels: Some(&labels) };
        let metadata = json!({"labels": pairs(pod)});
        left_out(namespace, &metadata, revision, "mesh-system").unwrap().is_none()
    }

    #[test]
    fn istios_truth_table_with_our_labels_too() {
        for (revision, namespace, pod, expected) in [
            ("default", &["mesh-injection=enabled"][..], &[][..], true),
            ("default", &["istio-injection=enabled"], &[], true),
            ("default", &["istio-injection=disabled"], &["sidecar.istio.io/inject=true"], false),
            ("default", &["mesh-injection=disabled", "istio-injection=enabled"], &[], false),
            ("default", &["mesh-injection=enabled"], &["sidecar.istio.io/inject=false"], false),
            ("default", &["mesh-injection=enabled"], &["sidecar.mesh/inject=false"], false),
            ("default", &["istio-injection=enabled", "istio.io/rev=canary"], &[], true),
            ("default", &[], &[], false),
            ("default", &[], &["sidecar.istio.io/inject=true"], true),
            ("default", &[], &["sidecar.mesh/inject=true"], true),
            ("default", &["istio.io/rev=canary"], &["sidecar.istio.io/inject=true"], false),
            ("default", &["istio.io/rev=default"], &[], true),
            ("canary", &["istio-injection=enabled"], &[], false),
            ("canary", &["istio-injection=enabled", "istio.io/rev=canary"], &[], false),
            ("canary", &["istio.io/rev=canary"], &[], true),
            ("canary", &["sidecar.mesh/rev=canary"], &[], true),
            ("canary", &["istio.io/rev=canary"], &["sidecar.mesh/inject=false"], false),
            ("canary", &["istio.io/rev=other"], &["istio.io/rev=canary"], false),
            ("canary", &[], &["istio.io/rev=canary"], true),
            ("canary", &[], &["sidecar.istio.io/inject=true"], false),
            ("default", &[], &["istio.io/rev=canary", "sidecar.istio.io/inject=true"], false),
        ] {
            assert_eq!(
                injects(revision, namespace, pod),
                expected,
                "{revision} {namespace:?} {pod:?}"
            );
        }
    }

    #[test]
    fn the_mesh_and_the_cluster_themselves_never() {
        let labels = BTreeMap::from([("mesh-injection".to_owned(), "enabled".to_owned())]);
        for name in ["mesh-system", "kube-system", "kube-node-lease"] {
            for labels in [None, Some(&labels)] {
                let namespace = Namespace { name, labels };
                let reason = left_out(namespace, &json!({}), "default", "mesh-system").unwrap();
                assert!(reason.unwrap().to_string().contains(name));
            }
        }
        let unknown = Namespace { name: "shop", labels: None };
        assert_eq!(left_out(unknown, &json!({}), "default", "mesh-system").unwrap(), None);
    }
}
