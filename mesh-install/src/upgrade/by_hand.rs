//! What a rollout would not do, with what does it.

use mesh_inject::{INJECT_KEY, ISTIO_INJECT};
use serde_json::{Value, json};

use super::namespaces::ISTIO_REVISION;
use crate::chart::REVISION;
use crate::kinds::{JOB, REPLICA_SET, WORKLOADS};
use crate::{ObjectName, REVISION_LABEL};

/// So many pods are named in a command.
const SHOWN: usize = 5;

/// Of a workload into whose manifest `meshctl inject` has written.
pub(super) fn inject(object: &ObjectName, revision: &str) -> String {
    let flag = match revision {
        REVISION => String::new(),
        other => format!(" --revision {other}"),
    };
    format!(
        "`meshctl inject` wrote its sidecar into it; inject its manifest anew: `meshctl inject{flag} \
         -f FILE | kubectl apply --namespace {} -f -`",
        object.namespace.as_deref().unwrap_or_default()
    )
}

/// Of a workload whose new pods would have no sidecar of the revision.
pub(super) fn nobody_asks(object: &ObjectName, revision: &str) -> String {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let label = match revision {
        REVISION => "mesh-injection=enabled".to_owned(),
        other => format!("{REVISION_LABEL}={other}"),
    };
    format!(
        "neither it nor its namespace asks for the revision {revision}, so new pods have no sidecar \
         of it, unless `kubectl label namespace {namespace} {label} --overwrite` asks for them"
    )
}

/// Of a workload whose pods name another revision themselves.
pub(super) fn asks_itself(object: &ObjectName, other: &str, revision: &str) -> String {
    let labels = json!({REVISION_LABEL: revision});
    let patch = json!({"spec": {"template": {"metadata": {"labels": labels}}}});
    format!(
        "its pods ask for the revision {other} themselves: `{} --patch '{patch}'`",
        command("patch", object)
    )
}

/// Of a namespace that asks for a revision of the mesh which is gone.
pub(super) fn of_namespace(name: &str, other: &str, revision: &str) -> String {
    let label = match revision {
        REVISION => format!("{REVISION_LABEL}- mesh-injection=enabled"),
        own => format!("{REVISION_LABEL}={own} --overwrite"),
    };
    format!(
        "it asks for the revision {other}, which is not here: `kubectl label namespace {name} \
         {label}` has it ask for {revision}"
    )
}

/// Of a Gateway of the Gateway API, whose pods the pilots of its revision make.
pub(super) fn of_gateway(object: &ObjectName, revision: &str) -> String {
    format!(
        "`kubectl label gateways.gateway.networking.k8s.io --namespace {} {} \
         {REVISION_LABEL}={revision} --overwrite` has the pilots of {revision} make it anew",
        object.namespace.as_deref().unwrap_or_default(),
        object.name
    )
}

/// Why a new rollout would not do; None when it would.
pub(super) fn of_rollout(
    object: &ObjectName,
    workload: Option<&Value>,
    pods: &[String],
) -> Option<String> {
    let delete = delete(object, pods);
    let kind = object.kind.as_str();
    if !WORKLOADS.iter().any(|one| one.kind == kind) {
        return Some(match kind {
            "Pod" => format!("no workload makes it anew: {delete}, and apply its manifest again"),
            kind if kind == JOB.kind => format!(
                "its pods end with the sidecars that they have; for one that does not end: `{}`, \
                 and apply its manifest again",
                command("delete", object)
            ),
            kind if kind == REPLICA_SET.kind => {
                format!("no Deployment rolls it out: {delete} has it make new ones")
            }
            kind => format!("meshctl does not roll out a {kind}: {delete} has it make new ones"),
        });
    }
    let spec = &workload?["spec"];
    let then = "then `meshctl upgrade` again";
    if spec["paused"] == true {
        let resume = command("rollout resume", object);
        return Some(format!("its rollout is paused: `{resume}`, {then}"));
    }
    let strategy = &spec["updateStrategy"];
    if strategy["type"] == "OnDelete" {
        let why = "its pods are replaced only when somebody deletes them (OnDelete)";
        return Some(format!("{why}: {delete}"));
    }
    let partition = strategy["rollingUpdate"]["partition"].as_u64().filter(|first| *first > 0)?;
    let patch = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    let command = command("patch", object);
    Some(format!(
        "its pods below {partition} stay as they are (partition): `{command} --patch '{patch}'`, \
         {then}"
    ))
}

/// The revision that pods with these labels ask for by themselves.
pub(super) fn asked_by(labels: &Value, heeds_istios: bool) -> Option<&str> {
    let keys = |ours, istios| [Some(ours), heeds_istios.then_some(istios)].into_iter().flatten();
    let mut revisions = keys(REVISION_LABEL, ISTIO_REVISION);
    if let Some(revision) = revisions.find_map(|key| labels[key].as_str()) {
        return Some(revision);
    }
    keys(INJECT_KEY, ISTIO_INJECT).any(|key| labels[key] == "true").then_some(REVISION)
}

fn delete(object: &ObjectName, pods: &[String]) -> String {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let more = if pods.len() > SHOWN { " …" } else { "" };
    let shown = pods[..pods.len().min(SHOWN)].join(" ");
    format!("`kubectl delete pod --namespace {namespace} {shown}{more}`")
}

fn command(verb: &str, object: &ObjectName) -> String {
    format!(
        "kubectl {verb} --namespace {} {}/{}",
        object.namespace.as_deref().unwrap_or_default(),
        object.kind.to_lowercase(),
        object.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str) -> ObjectName {
        ObjectName { kind: kind.into(), namespace: Some("a".into()), name: "b".into() }
    }

    #[test]
    fn what_a_rollout_would_not_change_is_left_to_people_with_a_command() {
        let update = |strategy: Value| json!({"spec": {"updateStrategy": strategy}});
        for (kind, workload, expected) in [
            (
                "Deployment",
                json!({"spec": {"paused": true}}),
                "kubectl rollout resume --namespace a",
            ),
            (
                "StatefulSet",
                update(json!({"type": "OnDelete"})),
                "kubectl delete pod --namespace a p",
            ),
            (
                "StatefulSet",
                update(json!({"rollingUpdate": {"partition": 2}})),
                "kubectl patch --namespace a statefulset/b --patch '{\"spec\":{\"updateStrategy\"",
            ),
            ("Pod", json!({}), "kubectl delete pod --namespace a p"),
            ("ReplicaSet", json!({}), "kubectl delete pod --namespace a p"),
            ("Job", json!({}), "kubectl delete --namespace a job/b"),
            ("Rollout", json!({}), "does not roll out a Rollout: `kubectl delete pod"),
        ] {
            let why = of_rollout(&object(kind), Some(&workload), &["p".to_owned()]).unwrap();
            assert!(why.contains(expected), "{kind}: {why}");
        }
        let plain = update(json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
        assert_eq!(of_rollout(&object("StatefulSet"), Some(&plain), &[]), None);
    }

    #[test]
    fn pods_ask_by_their_own_labels_as_the_injector_has_it() {
        let istios = json!({"istio.io/rev": "canary"});
        assert_eq!(asked_by(&istios, true), Some("canary"));
        assert_eq!(asked_by(&istios, false), None);
        assert_eq!(asked_by(&json!({"sidecar.mesh/inject": "true"}), false), Some("default"));
        assert_eq!(asked_by(&json!({"sidecar.mesh/inject": "false"}), true), None);
        assert_eq!(asked_by(&Value::Null, true), None);
    }
}
