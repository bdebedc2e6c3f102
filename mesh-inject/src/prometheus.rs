//! The `prometheus.io/*` annotations, pointed at the agent. It merges the application's
//! metrics with its own and the proxy's, and Prometheus, which is in no mesh, can reach it
//! where the application asks for mTLS (Istio's metrics merging).

use serde_json::{Map, Value, json};

use crate::Error;
use crate::fields::{describe, object, object_at};
use crate::opt::flag;

/// Istio's `false` for "leave the annotations as they are", and ours.
pub(crate) const KEYS: [&str; 2] =
    ["sidecar.mesh/merge-metrics", "prometheus.istio.io/merge-metrics"];

const STATUS_PORT: &str = "15020";
const PAGE: &str = "/stats/prometheus";

/// Rewrites the annotations of the pod and gives what the agent must know of the old ones:
/// Istio's `ISTIO_PROMETHEUS_ANNOTATIONS`. Nothing when the application has no metrics.
pub(crate) fn merge(metadata: &mut Value) -> Result<Option<Value>, Error> {
    if flag(metadata, &KEYS)? == Some(false) {
        return Ok(None);
    }
    let metadata = object(metadata, "metadata")?;
    let annotations = object_at(metadata, "annotations", "metadata.annotations")?;
    let old = old(annotations)?;
    let is = |key: &str, value: &str| old.get(key).and_then(Value::as_str) == Some(value);
    // Istio's, and Go's, words for no. The port: somebody did this by hand.
    if ["false", "f", "0", "F", "FALSE", "False"].iter().any(|no| is("scrape", no))
        || is("port", STATUS_PORT)
    {
        return Ok(None);
    }
    annotations.retain(|key, _| ours(key).is_none());
    for (key, value) in [("scrape", "true"), ("port", STATUS_PORT), ("path", PAGE)] {
        annotations.insert(format!("prometheus.io/{key}"), json!(value));
    }
    Ok((!old.is_empty()).then_some(Value::Object(old)))
}

/// Prometheus sees every spelling that becomes the same label, `prometheus.io.port` too.
fn ours(key: &str) -> Option<&'static str> {
    let label = key.replace(|char: char| !char.is_ascii_alphanumeric(), "_");
    let name = label.strip_prefix("prometheus_io_")?;
    ["scrape", "port", "path"].into_iter().find(|known| *known == name)
}

fn old(annotations: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
    let mut old = Map::new();
    for (key, value) in annotations {
        let Some(name) = ours(key) else { continue };
        if !value.is_string() {
            let path = format!("metadata.annotations[{key:?}]");
            return Err(Error::field(path, describe(value), "a string (quoted)"));
        }
        old.insert(name.to_owned(), value.clone());
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(annotations: Value) -> (Value, Option<Value>) {
        let mut metadata = json!({"annotations": annotations});
        let old = merge(&mut metadata).unwrap();
        (metadata["annotations"].take(), old)
    }

    #[test]
    fn the_agents_page_takes_the_place_of_the_applications() {
        let after = json!({"a": "b", "prometheus.io/scrape": "true",
            "prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus"});
        let (annotations, old) = merged(json!({"a": "b",
            "prometheus.io.port": "9090", "prometheus.io/scrape": "true"}));
        assert_eq!(annotations, after);
        assert_eq!(old, Some(json!({"port": "9090", "scrape": "true"})));
        let (annotations, old) = merged(json!({"a": "b"}));
        assert_eq!((annotations, old), (after, None), "the proxy's are there in any case");
    }

    #[test]
    fn who_wants_none_is_left_alone() {
        for annotations in [
            json!({"prometheus.io/scrape": "false", "prometheus.io/port": "1"}),
            json!({"prometheus.io/port": "15020"}),
            json!({"prometheus.istio.io/merge-metrics": "false", "prometheus.io/port": "1"}),
            json!({"sidecar.mesh/merge-metrics": "false"}),
        ] {
            assert_eq!(merged(annotations.clone()), (annotations, None));
        }
    }

    #[test]
    fn a_number_is_no_annotation() {
        let error = merge(&mut json!({"annotations": {"prometheus.io/port": 9090}})).unwrap_err();
        assert!(error.to_string().contains("a number, expected a string (quoted)"), "{error}");
    }
}
