//! What keeps a workload's pods from running.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::workload::is_seen;
use super::{Lack, Outlook};
use crate::kinds::REPLICA_SET;
use crate::object::controller;

/// By which the ReplicaSets of a Deployment are numbered; the newest has the highest.
const NUMBER: &str = "deployment.kubernetes.io/revision";

/// Of the pods that `selected` gives, those whose trouble is the workload's: not what is being
/// deleted, nor what a Deployment made by an earlier template and takes away by itself. A sick
/// pod of a StatefulSet's earlier template is in the way of the others. Who may not read
/// ReplicaSets is told of all.
pub(super) async fn that_stay(
    client: &Client,
    workload: &Value,
    selected: &ListParams,
    mut pods: Vec<Pod>,
) -> Vec<Pod> {
    if !is_seen(workload) {
        return Vec::new();
    }
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    if workload["kind"] == "Deployment" {
        let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
        let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
        let sets = sets.list(selected).await.map(|sets| sets.items).unwrap_or_default();
        if let Some(newest) = newest(workload, &sets) {
            pods.retain(|pod| is_of(&pod.metadata, REPLICA_SET.kind, newest));
        }
    }
    pods
}

/// The ReplicaSet of a Deployment's latest template.
fn newest<'a>(deployment: &Value, sets: &'a [ReplicaSet]) -> Option<&'a str> {
    let name = deployment["metadata"]["name"].as_str()?;
    let own = sets.iter().filter(|set| is_of(&set.metadata, "Deployment", name));
    let newest = own.max_by_key(|set| set.annotations().get(NUMBER)?.parse::<u64>().ok())?;
    newest.metadata.name.as_deref()
}

fn is_of(metadata: &ObjectMeta, kind: &str, name: &str) -> bool {
    controller(metadata).is_some_and(|owner| owner.kind == kind && owner.name == name)
}

/// The first reason for which a pod does not run that does not go away by itself.
pub(crate) fn trouble(pods: &[Pod]) -> Option<Lack> {
    pods.iter().find_map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let lack = pod_trouble(pod)?;
        Some(Lack { why: format!("pod {name}: {}", lack.why), ..lack })
    })
}

fn pod_trouble(pod: &Pod) -> Option<Lack> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions
        .filter(|one| one.type_ == "PodScheduled" && one.status == "False")
        .find_map(|one| one.message.clone());
    if let Some(message) = unscheduled {
        let why = format!(
            "no node takes it: {}; make room, or ask for less with --set (see `resources`)",
            message.trim_end_matches('.')
        );
        return Some(Lack { why, outlook: Outlook::Trouble });
    }
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).find_map(container_trouble)
}

fn container_trouble(container: &ContainerStatus) -> Option<Lack> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let (why, outlook) = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
            let why = format!(
                "the image {} cannot be had{}; load it into the nodes, or say where it is with \
                 --set hub=REGISTRY,tag=TAG",
                container.image,
                reason_of_pull(message)
            );
            (why, Outlook::Fault)
        }
        "CrashLoopBackOff" | "Error" => {
            let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let code = last.map(|last| format!(", exit code {}", last.exit_code));
            let why = format!(
                "its container {} ends again and again{}; `kubectl logs --previous` says why",
                container.name,
                code.unwrap_or_default()
            );
            (why, Outlook::Trouble)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let why = format!("its container {} cannot be made: {message}", container.name);
            (why, Outlook::Trouble)
        }
        _ => return None,
    };
    Some(Lack { why, outlook })
}

/// What kubelet says of an image; the same while it tries and while it pauses, when older ones
/// say no more than that they pause.
fn reason_of_pull(message: &str) -> String {
    let reason = match message.strip_prefix("Back-off pulling image ") {
        Some(pause) => pause.split_once(": ").map_or("", |(_, reason)| reason),
        None => message,
    };
    let reason = reason.trim_start_matches("ErrImagePull: ").trim();
    if reason.is_empty() { String::new() } else { format!(": kubelet says: {reason}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"containerStatuses": [{
            "name": "pilot", "image": "mesh/pilot:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 101}},
        }]})
    }

    #[test]
    fn a_deployment_s_newest_replica_set_is_that_of_the_highest_number() {
        let set = |name: &str, number: &str, owner: &str| -> ReplicaSet {
            let owners = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": owner,
                "uid": "1", "controller": true}]);
            let metadata = json!({"name": name, "ownerReferences": owners,
                "annotations": {NUMBER: number}});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let sets = [
            set("a-1", "9", "a"),
            set("a-2", "10", "a"),
            set("a-3", "none", "a"),
            set("b-1", "11", "b"),
        ];
        let of = |name: &str| newest(&json!({"metadata": {"name": name}}), &sets);
        assert_eq!(of("a"), Some("a-2"));
        assert_eq!(of("b"), Some("b-1"));
        assert_eq!(of("c"), None);
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_said_with_a_way_on() {
        let unscheduled = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]});
        for (status, expected, outlook) in [
            (unscheduled, "Insufficient cpu", Outlook::Trouble),
            (waiting("CrashLoopBackOff", "back-off"), "exit code 101", Outlook::Trouble),
            (waiting("CreateContainerConfigError", "no map"), "no map", Outlook::Trouble),
            (waiting("InvalidImageName", "no name"), "kubelet says: no name", Outlook::Fault),
        ] {
            let lack = trouble(&[pod(json!({})), pod(status)]).unwrap();
            assert!(lack.why.contains(expected), "{lack:?}");
            assert_eq!(lack.outlook, outlook, "{lack:?}");
        }
        assert_eq!(trouble(&[pod(waiting("ContainerCreating", ""))]), None);
    }

    #[test]
    fn an_image_that_cannot_be_had_is_said_in_one_way_while_kubelet_tries_and_pauses() {
        let pull = "failed to resolve reference \"docker.io/mesh/pilot:1\": not found";
        let said = |reason, message: &str| trouble(&[pod(waiting(reason, message))]).unwrap().why;
        let tries = said("ErrImagePull", pull);
        assert_eq!(
            tries,
            format!(
                "pod a: the image mesh/pilot:1 cannot be had: kubelet says: {pull}; load it into \
                 the nodes, or say where it is with --set hub=REGISTRY,tag=TAG"
            )
        );
        let pauses = format!("Back-off pulling image \"mesh/pilot:1\": ErrImagePull: {pull}");
        assert_eq!(said("ImagePullBackOff", &pauses), tries);
        let older = said("ImagePullBackOff", "Back-off pulling image \"mesh/pilot:1\"");
        assert!(older.contains("mesh/pilot:1 cannot be had; load it"), "{older}");
    }
}
