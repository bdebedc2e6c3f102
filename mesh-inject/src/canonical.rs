//! Istio's canonical service: by what name and revision a workload is known in telemetry.

use serde_json::Value;

use crate::fields::{get, sorted_text, text};

/// The labels that say it.
pub(crate) const NAME_LABEL: &str = "service.istio.io/canonical-name";
pub(crate) const REVISION_LABEL: &str = "service.istio.io/canonical-revision";

const MAX_LABEL: usize = 63;

/// The name of a pod's service: what its labels say, or its workload's name.
pub(crate) fn name(metadata: &Value, workload: &str) -> String {
    let said = ["app.kubernetes.io/name", "app"];
    let said = said.iter().find_map(|key| text(metadata, &["labels", key]));
    label(said.filter(|name| !name.is_empty()).unwrap_or(workload))
}

/// The revision of a pod's service.
pub(crate) fn revision(metadata: &Value) -> String {
    let said = ["app.kubernetes.io/version", "version"];
    let said = said.iter().find_map(|key| text(metadata, &["labels", key]));
    said.filter(|revision| !revision.is_empty()).unwrap_or("latest").to_owned()
}

/// The pod's labels as JSON, without those that its controller gives it: they are not in the
/// template, and say nothing of the workload.
pub(crate) fn own_labels(metadata: &Value) -> String {
    const OF_CONTROLLERS: [&str; 9] = [
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "controller-uid",
        "job-name",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
    ];
    let labels = get(metadata, &["labels"]).and_then(Value::as_object).into_iter().flatten();
    let own = labels.filter(|(key, _)| !OF_CONTROLLERS.contains(&key.as_str()));
    sorted_text(&own.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The name of what has made the pod, or its own.
pub(crate) fn workload(metadata: &Value) -> String {
    let owners = get(metadata, &["ownerReferences"]).and_then(Value::as_array);
    let is_controller = |owner: &&Value| get(owner, &["controller"]) == Some(&Value::Bool(true));
    if let Some(owner) = owners.into_iter().flatten().find(is_controller)
        && let Some(name) = text(owner, &["name"])
    {
        return of_owner(text(owner, &["kind"]), name, metadata).to_owned();
    }
    own_name(metadata)
}

/// The name of an object, as far as it is known.
pub(crate) fn own_name(metadata: &Value) -> String {
    let own = text(metadata, &["name"]).or_else(|| text(metadata, &["generateName"]));
    own.unwrap_or_default().trim_end_matches('-').to_owned()
}

/// A Deployment's ReplicaSet has the pods' hash behind its name, and a CronJob's Job the time.
fn of_owner<'a>(kind: Option<&str>, name: &'a str, metadata: &Value) -> &'a str {
    let front = match kind {
        Some("ReplicaSet") => {
            let hash = text(metadata, &["labels", "pod-template-hash"]);
            hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'))
        }
        Some("Job") => name.rsplit_once('-').and_then(|(front, time)| {
            let is_time = time.len() >= 8 && time.bytes().all(|byte| byte.is_ascii_digit());
            is_time.then_some(front)
        }),
        _ => None,
    };
    front.unwrap_or(name)
}

/// As much of it as a label may hold.
fn label(text: &str) -> String {
    let end = (0..=MAX_LABEL.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    let text = &text[..end.unwrap_or_default()];
    text.trim_end_matches(|char: char| !char.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_come_before_the_workloads_name() {
        let of = |labels: Value| {
            let metadata = json!({"labels": labels});
            (name(&metadata, "web-v1"), revision(&metadata))
        };
        let both = |name: &str, revision: &str| (name.to_owned(), revision.to_owned());
        assert_eq!(of(json!({"app": "web", "version": "v1"})), both("web", "v1"));
        let kubernetes = json!({"app": "a", "app.kubernetes.io/name": "b",
            "app.kubernetes.io/version": "2", "version": "v1"});
        assert_eq!(of(kubernetes), both("b", "2"));
        assert_eq!(of(json!({"app": ""})), both("web-v1", "latest"));
        let long = format!("{}.-tail", "a".repeat(62));
        assert_eq!(name(&json!({}), &long), "a".repeat(62));
    }

    #[test]
    fn the_workload_is_what_a_user_has_written() {
        let pod = |kind: &str, owner: &str| {
            workload(&json!({"generateName": "x-", "labels": {"pod-template-hash": "5d4f"},
                "ownerReferences": [{"kind": "Other", "name": "other"},
                    {"kind": kind, "name": owner, "controller": true}]}))
        };
        assert_eq!(pod("ReplicaSet", "web-v1-5d4f"), "web-v1");
        assert_eq!(pod("ReplicaSet", "web-v1"), "web-v1");
        assert_eq!(pod("Job", "nightly-28391234"), "nightly");
        assert_eq!(pod("Job", "nightly-2"), "nightly-2");
        assert_eq!(pod("StatefulSet", "db"), "db");
        assert_eq!(workload(&json!({"name": "web-0", "generateName": "web-"})), "web-0");
        assert_eq!(workload(&json!({"generateName": "web-"})), "web");
    }
}
