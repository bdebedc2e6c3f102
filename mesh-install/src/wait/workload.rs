//! What a workload lacks, in the words of whoever keeps it from being ready.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::Value;

/// How far a Deployment, StatefulSet or DaemonSet is; None when all of its pods are of the
/// latest template, and available.
pub(crate) fn progress(workload: &Value) -> Option<String> {
    let (spec, status) = (&workload["spec"], &workload["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let wanted = match workload["kind"].as_str() {
        Some("DaemonSet") => number(&status["desiredNumberScheduled"]),
        _ => spec["replicas"].as_i64().unwrap_or(1),
    };
    let (updated, available) = match workload["kind"].as_str() {
        Some("DaemonSet") => ("updatedNumberScheduled", "numberAvailable"),
        _ => ("updatedReplicas", "availableReplicas"),
    };
    let (updated, available) = (number(&status[updated]), number(&status[available]));
    let is_seen =
        status["observedGeneration"].as_i64() >= workload["metadata"]["generation"].as_i64();
    let ready = if is_seen { updated.min(available) } else { 0 };
    // Of a Deployment, pods of both templates are counted as available.
    let old = (number(&status["replicas"]) - updated).max(0);
    if !is_seen || ready < wanted {
        return Some(format!("{ready} of {wanted} pods are ready"));
    }
    (workload["kind"] == "Deployment" && old > 0).then(|| format!("{old} old pods are still there"))
}

/// Its pods, as a label selector.
pub(crate) fn selector(workload: &Value) -> String {
    let labels = workload["spec"]["selector"]["matchLabels"].as_object();
    let pairs = labels.into_iter().flatten();
    let pairs = pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

/// The first reason for which a pod does not run that does not go away by itself.
pub(crate) fn trouble(pods: &[Pod]) -> Option<String> {
    pods.iter().find_map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        Some(format!("pod {name}: {}", pod_trouble(pod)?))
    })
}

fn pod_trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions
        .filter(|one| one.type_ == "PodScheduled" && one.status == "False")
        .find_map(|one| one.message.clone());
    if let Some(message) = unscheduled {
        return Some(format!(
            "no node takes it: {}; make room, or ask for less with --set (see `resources`)",
            message.trim_end_matches('.')
        ));
    }
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).find_map(container_trouble)
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
            Some(format!(
                "the image {} cannot be had; load it into the nodes, or say where it is with \
                 --set hub=REGISTRY,tag=TAG",
                container.image
            ))
        }
        "CrashLoopBackOff" | "Error" => {
            let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let code = last.map(|last| format!(", exit code {}", last.exit_code));
            Some(format!(
                "its container {} ends again and again{}; `kubectl logs --previous` says why",
                container.name,
                code.unwrap_or_default()
            ))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(format!("its container {} cannot be made: {message}", container.name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
    fn a_deployment_is_ready_when_all_of_its_pods_are_its_latest() {
        let deployment = |observed: i64, replicas: i64, updated: i64, available: i64| {
            progress(&json!({
                "kind": "Deployment",
                "metadata": {"generation": 2},
                "spec": {"replicas": 2},
                "status": {
                    "observedGeneration": observed,
                    "replicas": replicas,
                    "updatedReplicas": updated,
                    "availableReplicas": available,
                },
            }))
        };
        assert_eq!(deployment(2, 2, 2, 2), None);
        assert_eq!(deployment(2, 3, 2, 2).unwrap(), "1 old pods are still there");
        for (observed, updated, available, ready) in [(1, 2, 2, 0), (2, 1, 2, 1), (2, 2, 0, 0)] {
            let said = deployment(observed, 2, updated, available).unwrap();
            assert_eq!(said, format!("{ready} of 2 pods are ready"));
        }
    }

    #[test]
    fn a_daemon_set_wants_a_pod_on_every_node() {
        let daemon_set = |available: i64| {
            progress(&json!({
                "kind": "DaemonSet",
                "metadata": {"generation": 1},
                "status": {
                    "observedGeneration": 1,
                    "desiredNumberScheduled": 3,
                    "updatedNumberScheduled": 3,
                    "numberAvailable": available,
                },
            }))
        };
        assert_eq!(daemon_set(3), None);
        assert_eq!(daemon_set(2).unwrap(), "2 of 3 pods are ready");
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_said_with_a_way_on() {
        let unscheduled = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]});
        for (status, expected) in [
            (unscheduled, "Insufficient cpu"),
            (waiting("ImagePullBackOff", "Back-off"), "mesh/pilot:1 cannot be had; load it"),
            (waiting("CrashLoopBackOff", "back-off"), "exit code 101"),
            (waiting("CreateContainerConfigError", "no configmap"), "no configmap"),
        ] {
            let said = trouble(&[pod(json!({})), pod(status)]).unwrap();
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(trouble(&[pod(waiting("ContainerCreating", ""))]), None);
    }
}
