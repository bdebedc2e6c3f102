use serde_json::Value;

use crate::canonical;
use crate::fields::{describe, object, text};
use crate::opt::display_name;
use crate::pod::inject_pod_of;
use crate::{Config, Error, PodReport};

/// An object after [`inject`].
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// The object, with sidecars where they belong.
    pub object: Value,
    /// One entry for each pod or pod template in it; none when its kind has no pods.
    pub pods: Vec<PodReport>,
}

/// Injects every pod of one Kubernetes object: a Pod, a kind with a pod template
/// (Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob)
/// or a List of such. An object of another kind comes back unchanged.
pub fn inject(mut manifest: Value, config: &Config) -> Result<Injected, Error> {
    let pods = inject_object(&mut manifest, config)?;
    Ok(Injected { object: manifest, pods })
}

fn inject_object(manifest: &mut Value, config: &Config) -> Result<Vec<PodReport>, Error> {
    let name = display_name(manifest);
    if is_list(manifest) {
        return inject_items(manifest, config);
    }
    let Some(path) = pod_path(manifest) else { return Ok(Vec::new()) };
    let prefix: String = path.iter().map(|step| format!("{step}.")).collect();
    let workload = match path {
        [] => canonical::workload(manifest.get("metadata").unwrap_or(&Value::Null)),
        _ => canonical::own_name(manifest.get("metadata").unwrap_or(&Value::Null)),
    };
    let report =
        inject_at(manifest, path, &workload, config).map_err(|error| error.of(&name, &prefix))?;
    Ok(vec![PodReport { object: name, ..report }])
}

fn is_list(manifest: &Value) -> bool {
    text(manifest, &["apiVersion"]) == Some("v1") && text(manifest, &["kind"]) == Some("List")
}

fn inject_items(list: &mut Value, config: &Config) -> Result<Vec<PodReport>, Error> {
    let mut pods = Vec::new();
    let items = list.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        pods.extend(inject_object(item, config)?);
    }
    Ok(pods)
}

/// Where the pod is in an object of this kind. The group counts: other projects have a
/// kind named Job, too.
fn pod_path(manifest: &Value) -> Option<&'static [&'static str]> {
    let (version, kind) = (text(manifest, &["apiVersion"])?, text(manifest, &["kind"])?);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "ReplicationController")
        | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn inject_at(
    manifest: &mut Value,
    path: &[&str],
    workload: &str,
    config: &Config,
) -> Result<PodReport, Error> {
    let mut pod = manifest;
    for step in path {
        let found = describe(pod);
        pod = pod.get_mut(step).ok_or_else(|| Error::field("", found, "a pod template"))?;
    }
    let pod = object(pod, "")?;
    // `metadata` may be missing; taken out and put back, it keeps its place.
    let mut metadata = pod.get_mut("metadata").map(Value::take).unwrap_or_default();
    let mut spec = pod.get_mut("spec").map(Value::take).unwrap_or_default();
    let report = inject_pod_of(workload, &mut metadata, &mut spec, config)?;
    if !metadata.is_null() {
        pod.insert("metadata".to_owned(), metadata);
    }
    pod.insert("spec".to_owned(), spec);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Outcome;

    fn sidecars(object: &Value) -> usize {
        object.to_string().matches(r#""name":"mesh-proxy""#).count()
    }

    #[test]
    fn every_kind_with_a_pod_template() {
        let template = json!({"spec": {"containers": [{"name": "app"}]}});
        for (version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "ReplicaSet"),
            ("v1", "ReplicationController"),
            ("batch/v1", "Job"),
        ] {
            let object =
                json!({"apiVersion": version, "kind": kind, "spec": {"template": template}});
            assert_eq!(sidecars(&inject(object, &Config::default()).unwrap().object), 1, "{kind}");
        }
        let object = json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "spec": {"jobTemplate": {"spec": {"template": template}}}});
        assert_eq!(sidecars(&inject(object, &Config::default()).unwrap().object), 1);
    }

    #[test]
    fn lists_are_opened_and_other_kinds_pass() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
            "spec": {"containers": []}});
        let other = json!({"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "spec": {}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [service, pod, other]});
        let injected = inject(list, &Config::default()).unwrap();
        assert_eq!(injected.object["items"][0], service);
        assert_eq!(injected.object["items"][2], other);
        assert_eq!(injected.pods.len(), 1);
        assert_eq!(injected.pods[0].object, "Pod a");
        assert_eq!(injected.pods[0].outcome, Outcome::Injected);
    }

    #[test]
    fn errors_name_the_object_and_the_path_from_its_root() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": {"containers": [], "volumes": 1}}}});
        let error = inject(object, &Config::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Deployment shop/web: spec.template.spec.volumes is a number, expected a list"
        );
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web"}, "spec": {}});
        let error = inject(object, &Config::default()).unwrap_err();
        assert!(error.to_string().contains("Deployment web: spec.template"), "{error}");
    }
}
