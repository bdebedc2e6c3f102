//! Istio's gateway template: a pod whose only proxy is its purpose. Its container is written by
//! the user, with `image: auto` and what shall be otherwise; the rest is completed.

use serde_json::{Map, Value, json};

use crate::fields::{describe, get, list_at, object, object_at, text};
use crate::opt::annotation;
use crate::{Error, ISTIO_PROXY_CONTAINER, PROXY_CONTAINER};

/// Istio's: which of its templates a pod is made by.
pub(crate) const TEMPLATES: &str = "inject.istio.io/templates";
/// The image that is to be replaced.
const AUTO: &str = "auto";
/// Istio's names, as lists that are merged by a key; other lists are taken as a whole.
const MERGED: [(&str, &str); 3] =
    [("env", "name"), ("volumeMounts", "mountPath"), ("ports", "name")];

/// Whether the pod is a gateway.
pub(crate) fn is_gateway(metadata: &Value) -> Result<bool, Error> {
    match annotation(metadata, TEMPLATES)? {
        None | Some("sidecar" | "") => Ok(false),
        Some("gateway") => Ok(true),
        Some(other) => {
            let path = format!("metadata.annotations[{TEMPLATES:?}]");
            Err(Error::field(path, &format!("{other:?}"), "\"sidecar\" or \"gateway\""))
        }
    }
}

/// Kubernetes would look for an image of this name.
pub(crate) fn refuse_auto(spec: &Value) -> Result<(), Error> {
    let containers = get(spec, &["containers"]).and_then(Value::as_array);
    for (index, container) in containers.into_iter().flatten().enumerate() {
        if text(container, &["image"]) == Some(AUTO) {
            let path = format!("spec.containers[{index}].image");
            let expected =
                format!("an image; it is only completed with the annotation {TEMPLATES}: gateway");
            return Err(Error::field(path, &format!("{AUTO:?}"), &expected));
        }
    }
    Ok(())
}

/// The name of the gateway's container.
pub(crate) fn name(spec: &Value) -> Result<String, Error> {
    let containers = get(spec, &["containers"]).and_then(Value::as_array);
    let mut names = containers.into_iter().flatten().filter_map(|item| text(item, &["name"]));
    let name = names.find(|name| [PROXY_CONTAINER, ISTIO_PROXY_CONTAINER].contains(name));
    name.map(str::to_owned).ok_or_else(|| {
        let expected =
            format!("one named {PROXY_CONTAINER} or {ISTIO_PROXY_CONTAINER}, with image: {AUTO}");
        Error::field("spec.containers", "without the gateway's container", &expected)
    })
}

/// Completes the container of this name by `proxy`.
pub(crate) fn complete(spec: &mut Value, name: &str, mut proxy: Value) -> Result<(), Error> {
    let spec = object(spec, "spec")?;
    let containers = list_at(spec, "containers", "spec.containers")?;
    for container in containers.iter_mut().filter(|item| text(item, &["name"]) == Some(name)) {
        overlay(&mut proxy, container)?;
        *container = proxy.clone();
    }
    unprivileged_ports(spec)
}

/// What the user has written over what there would be without it.
fn overlay(completed: &mut Value, user: &Value) -> Result<(), Error> {
    let path = "spec.containers";
    let user =
        user.as_object().ok_or_else(|| Error::field(path, describe(user), "a list of maps"))?;
    let is_auto = user.get("image").and_then(Value::as_str) == Some(AUTO);
    let completed = object(completed, path)?;
    for (field, value) in user {
        match field.as_str() {
            // The API server takes "auto" for an image without a tag, to be fetched always.
            "image" | "imagePullPolicy" if is_auto => {}
            // Half of ours might not fit half of theirs.
            "resources" if value.as_object().is_none_or(Map::is_empty) => {}
            "securityContext" if value.is_object() => {
                let ours = object_at(completed, field, field)?;
                ours.extend(value.as_object().into_iter().flatten().map(owned));
            }
            _ => match MERGED.iter().find(|(list, _)| list == field) {
                Some((list, key)) => {
                    merge(list_at(completed, list, list)?, value, key);
                }
                None => {
                    completed.insert(field.clone(), value.clone());
                }
            },
        }
    }
    Ok(())
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// The user's items take the place of those with the same key, or come behind.
fn merge(ours: &mut Vec<Value>, theirs: &Value, key: &str) {
    for item in theirs.as_array().into_iter().flatten() {
        let same = |own: &&mut Value| own.get(key).is_some() && own.get(key) == item.get(key);
        match ours.iter_mut().find(same) {
            Some(own) => *own = item.clone(),
            None => ours.push(item.clone()),
        }
    }
}

/// Users' gateways listen on 80 and 443, without any rights; a sysctl that Kubernetes counts
/// among the safe ones (Istio too). A pod that has a security context knows what it does.
fn unprivileged_ports(spec: &mut Map<String, Value>) -> Result<(), Error> {
    let context = object_at(spec, "securityContext", "spec.securityContext")?;
    if context.is_empty() {
        let sysctl = json!({"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"});
        context.insert("sysctls".to_owned(), json!([sysctl]));
    }
    Ok(())
}
