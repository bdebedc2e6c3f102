//! Workloads whose sidecars are not of a release.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;

use super::Rollout;
use crate::chart::Rendered;
use crate::check::proxy_image;
use crate::kinds::{self, WORKLOADS};
use crate::wait::selector;
use crate::{ApplyError, ObjectName, REVISION_LABEL};

/// mesh_inject's annotation of what it has injected.
const STATUS: &str = "sidecar.mesh/status";

/// What sidecars of a release are.
pub(super) struct Wanted {
    pub(super) revision: String,
    image: String,
}

impl Wanted {
    /// As the settings of the injector say.
    pub(super) fn of(objects: &[Rendered]) -> Self {
        let settings = objects.iter().find_map(|one| one.object["data"]["config.yaml"].as_str());
        let settings: Value =
            settings.and_then(|text| mesh_yaml::read(text).ok()).unwrap_or_default();
        let text = |name: &str| settings[name].as_str().unwrap_or_default().to_owned();
        Self { revision: text("revision"), image: text("image") }
    }

    fn is_stale(&self, pod: &Pod) -> bool {
        let revision = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION_LABEL));
        let has_sidecar = proxy_image(pod);
        let is_going = pod.metadata.deletion_timestamp.is_some();
        has_sidecar.is_some_and(|image| {
            !is_going && (image != self.image || revision != Some(&self.revision))
        })
    }
}

pub(super) async fn find(
    client: &Client,
    namespace: &str,
    wanted: &Wanted,
    rollout: &mut Rollout,
) -> Result<(), ApplyError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for kind in &WORKLOADS {
        let listed = kind.api(client, Some(namespace)).list(&ListParams::default()).await;
        let listed = listed.map_err(|error| ApplyError::of(all(kind.kind, namespace), &error))?;
        for workload in &listed.items {
            let workload = kinds::value(kind, workload);
            let parameters = ListParams::default().labels(&selector(&workload));
            let own = pods.list(&parameters).await;
            let own = own.map_err(|error| ApplyError::of(all("Pod", namespace), &error))?;
            if !own.items.iter().any(|pod| wanted.is_stale(pod)) {
                continue;
            }
            let name = ObjectName::of(&workload);
            match by_hand(&workload) {
                Some(why) => rollout.by_hand.push((name, why)),
                None => rollout.workloads.push(name),
            }
        }
    }
    Ok(())
}

/// Why a new rollout would not do.
fn by_hand(workload: &Value) -> Option<&'static str> {
    let spec = &workload["spec"];
    if spec["template"]["metadata"]["annotations"][STATUS].is_string() {
        return Some("`meshctl inject` wrote its sidecar into it; inject and apply it anew");
    }
    if spec["paused"] == true {
        return Some("its rollout is paused");
    }
    (spec["updateStrategy"]["type"] == "OnDelete")
        .then_some("its pods are replaced only when somebody deletes them (OnDelete)")
}

fn all(kind: &str, namespace: &str) -> ObjectName {
    ObjectName {
        kind: kind.to_owned(),
        namespace: Some(namespace.to_owned()),
        name: "*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_stale_by_its_image_or_its_revision() {
        let wanted = Wanted { revision: "default".to_owned(), image: "mesh/proxy:2".to_owned() };
        let pod = |revision: &str, container: &str, image: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"labels": {REVISION_LABEL: revision}},
                "spec": {"containers": [], "initContainers": [{"name": container, "image": image}]},
            }))
            .unwrap()
        };
        for (revision, container, image, stale) in [
            ("default", "mesh-proxy", "mesh/proxy:2", false),
            ("default", "mesh-proxy", "mesh/proxy:1", true),
            ("canary", "mesh-proxy", "mesh/proxy:2", true),
            ("default", "something", "mesh/proxy:1", false),
        ] {
            assert_eq!(
                wanted.is_stale(&pod(revision, container, image)),
                stale,
                "{revision} {image}"
            );
        }
    }

    #[test]
    fn what_a_rollout_would_not_change_is_left_to_people() {
        let injected = json!({"spec": {"template": {"metadata": {"annotations": {STATUS: "{}"}}}}});
        let on_delete = json!({"spec": {"updateStrategy": {"type": "OnDelete"}}});
        assert!(by_hand(&injected).unwrap().contains("meshctl inject"));
        assert!(by_hand(&on_delete).unwrap().contains("OnDelete"));
        assert_eq!(by_hand(&json!({"spec": {"template": {}}})), None);
    }
}
