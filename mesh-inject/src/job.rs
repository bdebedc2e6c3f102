//! Pods that come to an end, with a sidecar that is a plain container. Kubernetes waits for
//! it like for any other, so that it must leave by itself. It can see the application's end
//! only in a process namespace that the pod shares: the application is not process 1 then,
//! and the containers see each other's processes. Where that is not wanted, the application
//! can tell its sidecar instead: POST to http://127.0.0.1:15020/quitquitquit.

use serde_json::{Value, json};

use crate::fields::{get, text};
use crate::opt::flag;
use crate::{Config, EXIT_WITH_APPLICATION_ANNOTATION, Error};

/// Makes the pod share its process namespace where the sidecar has to leave with the
/// application, and gives the agent's word for the pod's restart policy. That is the
/// default for a pod that ends, `Never` or `OnFailure`, with a classic sidecar; a native one
/// is Kubernetes' affair.
pub(crate) fn exit_with_application(
    metadata: &Value,
    spec: &mut Value,
    config: &Config,
) -> Result<Option<&'static str>, Error> {
    let key = EXIT_WITH_APPLICATION_ANNOTATION;
    let asked = flag(metadata, &[key])?;
    if config.is_native() || asked == Some(false) {
        return Ok(None);
    }
    let is =
        |field: &str, wanted: bool| get(spec, &[field]).and_then(Value::as_bool) == Some(wanted);
    let (word, obstacle) = match text(spec, &["restartPolicy"]) {
        _ if is("hostPID", true) => (None, "spec.hostPID is true"),
        _ if is("shareProcessNamespace", false) => (None, "spec.shareProcessNamespace is false"),
        Some("Never") => (Some("never"), ""),
        Some("OnFailure") => (Some("on-failure"), ""),
        _ => (None, "spec.restartPolicy is Always: it would be started again"),
    };
    if word.is_some()
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("shareProcessNamespace".to_owned(), json!(true));
    } else if asked == Some(true) {
        let path = format!("metadata.annotations[{key:?}]");
        let expected = format!("no such annotation, because {obstacle}");
        return Err(Error::field(path, "\"true\"", &expected));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NativeSidecar;

    fn of(
        metadata: Value,
        spec: Value,
        native: bool,
    ) -> (Result<Option<&'static str>, String>, bool) {
        let mut spec = spec;
        let native_sidecar = if native { NativeSidecar::Always } else { NativeSidecar::Never };
        let config = Config { native_sidecar, ..Config::default() };
        let word = exit_with_application(&metadata, &mut spec, &config);
        let shared = spec["shareProcessNamespace"] == true;
        (word.map_err(|error| error.to_string()), shared)
    }

    #[test]
    fn pods_that_end_take_a_classic_sidecar_with_them() {
        let never = json!({"restartPolicy": "Never"});
        assert_eq!(of(json!({}), never.clone(), false), (Ok(Some("never")), true));
        let on_failure = json!({"restartPolicy": "OnFailure"});
        assert_eq!(of(json!({}), on_failure, false), (Ok(Some("on-failure")), true));
        assert_eq!(of(json!({}), never.clone(), true), (Ok(None), false), "native");
        assert_eq!(of(json!({}), json!({}), false), (Ok(None), false), "it does not end");
        let no = json!({"annotations": {EXIT_WITH_APPLICATION_ANNOTATION: "false"}});
        assert_eq!(of(no, never, false), (Ok(None), false));
    }

    #[test]
    fn what_stands_in_the_way_is_named_when_somebody_asked() {
        let yes = json!({"annotations": {EXIT_WITH_APPLICATION_ANNOTATION: "true"}});
        for (spec, why) in [
            (json!({}), "restartPolicy is Always"),
            (json!({"restartPolicy": "Never", "hostPID": true}), "hostPID is true"),
            (
                json!({"restartPolicy": "Never", "shareProcessNamespace": false}),
                "shareProcessNamespace is false",
            ),
        ] {
            assert_eq!(of(json!({}), spec.clone(), false).0, Ok(None));
            let error = of(yes.clone(), spec, false).0.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
