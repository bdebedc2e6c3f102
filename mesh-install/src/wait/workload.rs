//! What a workload lacks, in the words of whoever keeps it from being ready.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::{Lack, Outlook};

/// How far a Deployment, StatefulSet or DaemonSet is; None when all of its pods are available, and
/// of the latest template, but for those that a StatefulSet's `partition` keeps as they are.
pub(crate) fn progress(workload: &Value) -> Option<String> {
    let status = &workload["status"];
    let wanted = wanted(workload);
    let (updated, available) = match workload["kind"].as_str() {
        Some("DaemonSet") => ("updatedNumberScheduled", "numberAvailable"),
        _ => ("updatedReplicas", "availableReplicas"),
    };
    let (updated, available) = (number(&status[updated]), number(&status[available]));
    let is_seen = is_seen(workload);
    let kept = number(&workload["spec"]["updateStrategy"]["rollingUpdate"]["partition"]);
    let ready = if is_seen { (updated + kept).min(available) } else { 0 };
    // Of a Deployment, pods of both templates are counted as available.
    let old = (number(&status["replicas"]) - updated).max(0);
    if !is_seen || ready < wanted {
        return Some(format!("{ready} of {wanted} pods are ready"));
    }
    (workload["kind"] == "Deployment" && old > 0).then(|| format!("{old} old pods are still there"))
}

/// Whether its controller has taken note of what it is to be.
pub(crate) fn is_seen(workload: &Value) -> bool {
    let observed = &workload["status"]["observedGeneration"];
    observed.as_i64() >= workload["metadata"]["generation"].as_i64()
}

/// How many pods it is to have.
fn wanted(workload: &Value) -> i64 {
    match workload["kind"].as_str() {
        Some("DaemonSet") => number(&workload["status"]["desiredNumberScheduled"]),
        _ => workload["spec"]["replicas"].as_i64().unwrap_or(1),
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// Whether pods of it are still to be made.
pub(crate) fn lacks_pods(workload: &Value, pods: &[Pod]) -> bool {
    let there = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count();
    i64::try_from(there).is_ok_and(|there| there < wanted(workload))
}

/// Why pods of a Deployment cannot be made, by its condition.
pub(crate) fn refused(workload: &Value) -> Option<Lack> {
    let conditions = workload["status"]["conditions"].as_array()?;
    let mut conditions = conditions.iter().filter(|one| one["status"] == "True");
    let failure = conditions.find(|one| one["type"] == "ReplicaFailure")?;
    Some(not_made(failure["message"].as_str().unwrap_or_default()))
}

/// The same of a workload that has no such condition, by its events since it was changed.
pub(crate) fn refused_by_events(events: &[Event], changed: Option<&Time>) -> Option<Lack> {
    let is_later = |event: &&Event| event.last_timestamp.as_ref() >= changed;
    let last = events.iter().filter(is_later).max_by_key(|event| event.last_timestamp.clone())?;
    Some(not_made(last.message.as_deref().unwrap_or_default()))
}

/// A webhook, a quota or pod security says no; it may be mended.
fn not_made(message: &str) -> Lack {
    Lack { why: format!("its pods cannot be made: {message}"), outlook: Outlook::Trouble }
}

/// Its pods, as a label selector.
pub(crate) fn selector(workload: &Value) -> String {
    let labels = workload["spec"]["selector"]["matchLabels"].as_object();
    let pairs = labels.into_iter().flatten();
    let pairs = pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
    fn a_partition_keeps_pods_as_they_are() {
        let stateful_set = |partition: i64, updated: i64| {
            progress(&json!({
                "kind": "StatefulSet",
                "metadata": {"generation": 1},
                "spec": {
                    "replicas": 3,
                    "updateStrategy": {"rollingUpdate": {"partition": partition}},
                },
                "status": {
                    "observedGeneration": 1, "updatedReplicas": updated, "availableReplicas": 3,
                },
            }))
        };
        assert_eq!(stateful_set(0, 3), None);
        assert_eq!(stateful_set(2, 1), None);
        assert_eq!(stateful_set(9, 0), None);
        assert_eq!(stateful_set(1, 1).unwrap(), "2 of 3 pods are ready");
    }

    #[test]
    fn pods_that_cannot_be_made_are_trouble() {
        let condition = |status: &str| {
            refused(&json!({"status": {"conditions": [
                {"type": "Progressing", "status": "True", "message": "fine"},
                {"type": "ReplicaFailure", "status": status, "message": "exceeded quota: small"},
            ]}}))
        };
        assert_eq!(condition("False"), None);
        let lack = condition("True").unwrap();
        assert_eq!(lack.outlook, Outlook::Trouble);
        assert_eq!(lack.why, "its pods cannot be made: exceeded quota: small");

        let time = |minute: u8| -> Time {
            serde_json::from_value(json!(format!("2026-01-01T00:{minute:02}:00Z"))).unwrap()
        };
        let event = |minute: u8| Event {
            message: Some(format!("denied in minute {minute}")),
            last_timestamp: Some(time(minute)),
            ..Event::default()
        };
        let events = [event(3), event(4), event(2)];
        let said = |changed: u8| refused_by_events(&events, Some(&time(changed)));
        assert_eq!(said(4).unwrap().why, "its pods cannot be made: denied in minute 4");
        assert_eq!(said(5), None);
        assert!(refused_by_events(&events, None).is_some());
    }

    #[test]
    fn a_pod_that_ends_is_one_that_is_still_to_be_made() {
        let workload = json!({"kind": "StatefulSet", "spec": {"replicas": 1}});
        let mut pod = Pod::default();
        assert!(!lacks_pods(&workload, &[pod.clone()]));
        pod.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(lacks_pods(&workload, &[pod]));
    }
}
