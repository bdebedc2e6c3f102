//! Kubelet's probes and lifecycle hooks, sent to the agent. They come from outside the
//! mesh, so that a pod which asks for mTLS would refuse them, and a TCP probe would only
//! ever find the proxy. The agent makes them in kubelet's stead; it is told the originals.

use serde_json::{Map, Value, json};

use crate::Error;
use crate::fields::{Object, describe, get, text};
use crate::opt::flag;

/// `false` leaves the probes as they are. Ours, then Istio's.
pub(crate) const KEYS: [&str; 2] =
    ["sidecar.mesh/rewrite-app-probes", "sidecar.istio.io/rewriteAppHTTPProbers"];

/// The agent's port for this.
const STATUS_PORT: u16 = 15020;
/// Kubernetes' default for a probe.
const TIMEOUT_S: u64 = 1;

/// Field, and the last part of the agent's path (Istio's words).
const PROBES: [(&str, &str); 3] =
    [("livenessProbe", "livez"), ("readinessProbe", "readyz"), ("startupProbe", "startupz")];
const HOOKS: [(&str, &str); 2] = [("postStart", "poststartz"), ("preStop", "prestopz")];

/// Rewrites every probe of the application that the agent can make, in place, and gives the
/// originals by the agent's path: Istio's `ISTIO_KUBE_APP_PROBERS`.
pub(crate) fn rewrite(metadata: &Value, spec: &mut Value, native: bool) -> Result<Object, Error> {
    let mut originals = Map::new();
    if flag(metadata, &KEYS)? == Some(false) {
        return Ok(originals);
    }
    // A native sidecar of the user's starts after ours, and may be asked through it.
    let lists: &[&str] = if native { &["initContainers", "containers"] } else { &["containers"] };
    for list in lists {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let path = format!("spec.{list}[{index}]");
            of_container(container, &path, &mut originals)?;
        }
    }
    Ok(originals)
}

fn of_container(container: &mut Value, path: &str, originals: &mut Object) -> Result<(), Error> {
    let Some(name) = text(container, &["name"]).map(str::to_owned) else { return Ok(()) };
    let ports = get(container, &["ports"]).cloned().unwrap_or_default();
    for (field, page) in PROBES {
        let at = format!("/app-health/{name}/{page}");
        let timeout = get(container, &[field, "timeoutSeconds"]).cloned();
        let timeout = timeout.unwrap_or(json!(TIMEOUT_S));
        let Some(probe) = container.get_mut(field) else { continue };
        if let Some(mut original) = redirect(probe, &at, &ports, &format!("{path}.{field}"))? {
            original.insert("timeoutSeconds".to_owned(), timeout);
            originals.insert(at, Value::Object(original));
        }
    }
    for (field, page) in HOOKS {
        let at = format!("/app-lifecycle/{name}/{page}");
        let hook = container.get_mut("lifecycle").and_then(|lifecycle| lifecycle.get_mut(field));
        let Some(hook) = hook else { continue };
        let path = format!("{path}.lifecycle.{field}");
        if let Some(original) = redirect(hook, &at, &ports, &path)? {
            originals.insert(at, Value::Object(original));
        }
    }
    Ok(())
}

/// Sends one probe or hook to `at`, and gives what it was; nothing when it stays as it is.
fn redirect(
    handler: &mut Value,
    at: &str,
    ports: &Value,
    path: &str,
) -> Result<Option<Object>, Error> {
    let Some(handler) = handler.as_object_mut() else { return Ok(None) };
    let present = |kind: &&&str| handler.get(**kind).is_some_and(Value::is_object);
    let Some(kind) = ["httpGet", "tcpSocket", "grpc"].iter().find(present) else {
        return Ok(None);
    };
    let mut action = handler[*kind].clone();
    let port = port(&action["port"], ports, &format!("{path}.{kind}.port"))?;
    let elsewhere = text(&action, &["host"]).is_some_and(|host| !host.is_empty());
    if elsewhere || port == STATUS_PORT {
        return Ok(None);
    }
    action["port"] = json!(port);
    without_defaults(&mut action);
    let mut get = json!({"path": at, "port": STATUS_PORT});
    // Kubelet goes on to send them, and the agent hands on what kubelet sends.
    if let Some(headers) = action.get("httpHeaders") {
        get["httpHeaders"] = headers.clone();
    }
    if *kind != "httpGet" {
        handler.shift_remove(*kind);
    }
    handler.insert("httpGet".to_owned(), get);
    Ok(Some(Map::from_iter([((*kind).to_owned(), action)])))
}

/// The API server writes them into what it stores; the agent knows them.
fn without_defaults(action: &mut Value) {
    const DEFAULTS: [(&str, &str); 3] = [("scheme", "HTTP"), ("path", "/"), ("service", "")];
    if let Some(action) = action.as_object_mut() {
        action.retain(|key, value| {
            !DEFAULTS.iter().any(|(field, default)| key == field && value == default)
        });
    }
}

/// A number, or the name of one of the container's ports; numbers may be strings.
fn port(port: &Value, ports: &Value, path: &str) -> Result<u16, Error> {
    let named = |name: &str| {
        let ports = ports.as_array()?;
        let port = ports.iter().find(|port| text(port, &["name"]) == Some(name))?;
        port.get("containerPort")?.as_u64()
    };
    let number = match port {
        Value::String(name) => named(name).or_else(|| name.parse().ok()),
        other => other.as_u64(),
    };
    number.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).ok_or_else(|| {
        let found = port.as_str().map_or(describe(port).to_owned(), |name| format!("{name:?}"));
        Error::field(path, &found, "a port's number, or the name of one of the container's ports")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(container: Value) -> Result<(Value, Object), Error> {
        let mut spec = json!({"containers": [container]});
        let originals = rewrite(&json!({}), &mut spec, true)?;
        Ok((spec["containers"][0].take(), originals))
    }

    #[test]
    fn what_the_agent_cannot_ask_stays() {
        let container = json!({"name": "web",
            "livenessProbe": {"exec": {"command": ["true"]}},
            "readinessProbe": {"httpGet": {"port": 80, "host": "10.0.0.1"}},
            "startupProbe": {"httpGet": {"port": 15020, "path": "/app-health/web/startupz"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}});
        let (after, originals) = rewritten(container.clone()).unwrap();
        assert_eq!((after, originals.len()), (container, 0));
    }

    #[test]
    fn everything_but_the_action_is_kept() {
        let (after, originals) = rewritten(json!({"name": "web",
            "ports": [{"name": "grpc", "containerPort": 50051}],
            "livenessProbe": {"grpc": {"port": "grpc"}, "periodSeconds": 3, "timeoutSeconds": 2}}))
        .unwrap();
        assert_eq!(
            after["livenessProbe"],
            json!({"periodSeconds": 3, "timeoutSeconds": 2,
                "httpGet": {"path": "/app-health/web/livez", "port": 15020}})
        );
        assert_eq!(
            originals["/app-health/web/livez"],
            json!({"grpc": {"port": 50051}, "timeoutSeconds": 2})
        );
    }

    #[test]
    fn an_unknown_port_is_named() {
        let error =
            rewritten(json!({"name": "web", "readinessProbe": {"tcpSocket": {"port": "x"}}}))
                .unwrap_err()
                .to_string();
        assert!(
            error.contains(
                "spec.containers[0].readinessProbe.tcpSocket.port is \"x\", expected a port"
            ),
            "{error}"
        );
    }

    #[test]
    fn either_annotation_leaves_them_alone() {
        for key in KEYS {
            let mut spec = json!({"containers": [
                {"name": "web", "livenessProbe": {"tcpSocket": {"port": 80}}}]});
            let metadata = json!({"annotations": {key: "false"}});
            assert!(rewrite(&metadata, &mut spec, true).unwrap().is_empty());
            let error = rewrite(&json!({"annotations": {key: "nope"}}), &mut spec, true);
            assert!(error.unwrap_err().to_string().contains(key));
        }
    }
}
