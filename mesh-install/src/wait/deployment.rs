//! What a deployment lacks, in the words of whoever keeps it from being ready.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// How far it is; None when it is ready.
pub(super) fn progress(deployment: &Deployment) -> Option<String> {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let is_seen = status.observed_generation >= deployment.metadata.generation;
    let updated = status.updated_replicas.unwrap_or_default();
    let available = status.available_replicas.unwrap_or_default();
    let ready = if is_seen { updated.min(available) } else { 0 };
    (ready < wanted).then(|| format!("{ready} of {wanted} pods are ready"))
}

/// Its pods, as a label selector.
pub(super) fn selector(deployment: &Deployment) -> String {
    let labels = deployment.spec.selector.match_labels.clone();
    let pairs =
        labels.unwrap_or_default().into_iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// The first reason for which a pod does not run that does not go away by itself.
pub(super) fn trouble(pods: &[Pod]) -> Option<String> {
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
            "no node takes it: {message}; make room, or ask for less with --set (see `resources`)"
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
    fn a_deployment_is_ready_when_all_of_its_latest_pods_are() {
        let deployment = |observed: i64, updated: i32, available: i32| -> Deployment {
            let status = json!({
                "observedGeneration": observed,
                "updatedReplicas": updated,
                "availableReplicas": available,
            });
            let spec =
                json!({"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": {}});
            let object = json!({"metadata": {"generation": 2}, "spec": spec, "status": status});
            serde_json::from_value(object).unwrap()
        };
        assert_eq!(progress(&deployment(2, 2, 2)), None);
        for (observed, updated, available, ready) in [(1, 2, 2, 0), (2, 1, 2, 1), (2, 2, 0, 0)] {
            let said = progress(&deployment(observed, updated, available)).unwrap();
            assert_eq!(said, format!("{ready} of 2 pods are ready"));
        }
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
