//! Whether a pod wants a sidecar.

use serde_json::Value;

use crate::fields::{describe, get, text};
use crate::pod::Reason;
use crate::{EXIT_WITH_APPLICATION_ANNOTATION, Error, INJECT_KEY, STATUS_ANNOTATION};
use crate::{gateway, overrides, probes, prometheus, traffic};

/// Istio's label or annotation by which a pod asks for a sidecar, or for none.
pub const ISTIO_INJECT: &str = "sidecar.istio.io/inject";
const ISTIO_STATUS: &str = "sidecar.istio.io/status";

/// Why the pod is to be left alone, if it is.
pub(crate) fn out(metadata: &Value, spec: &Value) -> Result<Option<Reason>, Error> {
    if get(metadata, &["annotations", STATUS_ANNOTATION]).is_some() {
        return Ok(Some(Reason::AlreadyInjected));
    }
    if get(metadata, &["annotations", ISTIO_STATUS]).is_some() {
        return Ok(Some(Reason::OtherMesh));
    }
    // Istio too: the rules would redirect the traffic of the whole node.
    if get(spec, &["hostNetwork"]).and_then(Value::as_bool) == Some(true) {
        return Ok(Some(Reason::HostNetwork));
    }
    if text(spec, &["os", "name"]).is_some_and(|os| os != "linux") {
        return Ok(Some(Reason::OtherSystem));
    }
    opted_out(metadata)
}

/// Ours before Istio's; and, as in Istio, a label before an annotation.
pub(crate) fn opted_out(metadata: &Value) -> Result<Option<Reason>, Error> {
    for key in [INJECT_KEY, ISTIO_INJECT] {
        for place in ["labels", "annotations"] {
            let Some(value) = get(metadata, &[place, key]) else { continue };
            let path = format!("metadata.{place}[{key:?}]");
            return match wanted(value, &path)? {
                true => Ok(None),
                false => Ok(Some(Reason::OptedOut(format!("{place}[{key:?}]")))),
            };
        }
    }
    Ok(None)
}

/// Istio's words for yes and no; it takes any other word for a no, which hides typing
/// errors, so here that is an error.
fn wanted(value: &Value, path: &str) -> Result<bool, Error> {
    let Some(word) = value.as_str() else {
        return Err(Error::field(
            path,
            describe(value),
            "the string \"true\" or \"false\" (quoted)",
        ));
    };
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "" => Ok(true),
        "false" | "no" | "n" | "off" => Ok(false),
        _ => Err(Error::field(path, &format!("{word:?}"), "\"true\" or \"false\"")),
    }
}

/// The first of these annotations that is there, as yes or no.
pub(crate) fn flag(metadata: &Value, keys: &[&str]) -> Result<Option<bool>, Error> {
    for key in keys {
        if let Some(value) = get(metadata, &["annotations", key]) {
            return wanted(value, &format!("metadata.annotations[{key:?}]")).map(Some);
        }
    }
    Ok(None)
}

/// Annotations on the pod, Istio's and ours, that nothing here acts on.
pub(crate) fn ignored(metadata: &Value) -> Vec<String> {
    const PREFIXES: [&str; 7] = [
        "sidecar.mesh/",
        "sidecar.istio.io/",
        "traffic.sidecar.istio.io/",
        "status.sidecar.istio.io/",
        "readiness.status.sidecar.istio.io/",
        "proxy.istio.io/",
        "inject.istio.io/",
    ];
    const KNOWN: [&str; 8] = [
        INJECT_KEY,
        ISTIO_INJECT,
        STATUS_ANNOTATION,
        EXIT_WITH_APPLICATION_ANNOTATION,
        probes::KEYS[0],
        probes::KEYS[1],
        prometheus::KEYS[0],
        gateway::TEMPLATES,
    ];
    let Some(annotations) = get(metadata, &["annotations"]).and_then(Value::as_object) else {
        return Vec::new();
    };
    let is_known =
        |key: &str| KNOWN.contains(&key) || traffic::is_known(key) || overrides::is_known(key);
    let is_meant = |key: &&String| PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    annotations.keys().filter(is_meant).filter(|key| !is_known(key)).cloned().collect()
}

/// What is written in an annotation of the pod, which must be a string.
pub(crate) fn annotation<'a>(metadata: &'a Value, key: &str) -> Result<Option<&'a str>, Error> {
    match get(metadata, &["annotations", key]) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(other) => Err(Error::field(
            format!("metadata.annotations[{key:?}]"),
            describe(other),
            "a string (quoted)",
        )),
    }
}

/// The name to show: kind, namespace and name, as far as they are known.
pub(crate) fn display_name(object: &Value) -> String {
    let kind = text(object, &["kind"]).unwrap_or("object");
    let name = text(object, &["metadata", "name"])
        .or_else(|| text(object, &["metadata", "generateName"]))
        .unwrap_or("(unnamed)");
    match text(object, &["metadata", "namespace"]) {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_label_beats_an_annotation_and_ours_beats_istios() {
        let spec = json!({});
        let metadata = json!({
            "labels": {"sidecar.istio.io/inject": "true"},
            "annotations": {"sidecar.istio.io/inject": "false"},
        });
        assert_eq!(out(&metadata, &spec).unwrap(), None);
        let metadata = json!({
            "labels": {"sidecar.istio.io/inject": "true"},
            "annotations": {"sidecar.mesh/inject": "no"},
        });
        assert!(matches!(out(&metadata, &spec).unwrap(), Some(Reason::OptedOut(_))));
    }

    #[test]
    fn an_unknown_word_is_an_error_that_names_the_label() {
        let metadata = json!({"labels": {"sidecar.istio.io/inject": "flase"}});
        let error = out(&metadata, &json!({})).unwrap_err().to_string();
        assert!(error.contains("metadata.labels[\"sidecar.istio.io/inject\"]"), "{error}");
        let metadata = json!({"labels": {"sidecar.istio.io/inject": false}});
        assert!(out(&metadata, &json!({})).is_err());
    }

    #[test]
    fn names_what_it_does_not_honour() {
        let metadata = json!({"annotations": {
            "sidecar.istio.io/proxyCPU": "1",
            "sidecar.istio.io/userVolume": "[]",
            "sidecar.mesh/concurency": "1",
            "sidecar.istio.io/inject": "true",
            "traffic.sidecar.istio.io/excludeInboundPorts": "1",
            "traffic.sidecar.istio.io/newThing": "x",
            "example.com/own": "x",
        }});
        assert_eq!(
            ignored(&metadata),
            [
                "sidecar.istio.io/userVolume",
                "sidecar.mesh/concurency",
                "traffic.sidecar.istio.io/newThing"
            ]
        );
    }
}
