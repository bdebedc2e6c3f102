//! Which revision a namespace asks for, and to have it ask for another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::chart::REVISION;
use crate::kinds;
use crate::{ApplyError, Event, Events, FIELD_MANAGER, ObjectName, REVISION_LABEL};

const OURS: &str = "mesh-injection";
const ISTIO: &str = "istio-injection";
const ISTIO_REVISION: &str = "istio.io/rev";

pub(crate) struct InMesh {
    pub(crate) name: String,
    pub(crate) revision: String,
}

/// The namespaces whose pods get sidecars, but for the mesh's own.
pub(crate) async fn in_mesh(client: &Client, mesh: &str) -> Result<Vec<InMesh>, ApplyError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let listed = api.list_metadata(&ListParams::default()).await;
    let listed = listed.map_err(|error| ApplyError::of(named("*"), &error))?;
    let in_mesh = listed.items.into_iter().filter_map(|namespace| {
        let name = namespace.metadata.name.filter(|name| name != mesh)?;
        let revision = revision(&namespace.metadata.labels?)?.to_owned();
        Some(InMesh { name, revision })
    });
    Ok(in_mesh.collect())
}

/// In the order in which the injector looks.
fn revision(labels: &BTreeMap<String, String>) -> Option<&str> {
    for label in [OURS, ISTIO] {
        if let Some(value) = labels.get(label) {
            return (value == "enabled").then_some(REVISION);
        }
    }
    labels.get(REVISION_LABEL).or_else(|| labels.get(ISTIO_REVISION)).map(String::as_str)
}

/// Takes the labels of another revision away and sets that of this one, at once.
pub(super) async fn move_to(
    client: &Client,
    name: &str,
    revision: &str,
    events: &Events,
) -> Result<(), ApplyError> {
    let (ours, own) = match revision {
        REVISION => (Some("enabled"), None),
        other => (None, Some(other)),
    };
    let labels = json!({OURS: ours, ISTIO: null, ISTIO_REVISION: null, REVISION_LABEL: own});
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    let parameters =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api: Api<Namespace> = Api::all(client.clone());
    let patched = api.patch_metadata(name, &parameters, &patch).await;
    patched.map_err(|error| ApplyError::of(named(name), &error))?;
    events.tell(Event::Note(format!("namespace {name} asks for the revision {revision}")));
    Ok(())
}

fn named(name: &str) -> ObjectName {
    ObjectName { kind: kinds::NAMESPACE.to_owned(), namespace: None, name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_asks_for_what_the_injector_takes_it_to_ask_for() {
        for (labels, expected) in [
            (&[(OURS, "enabled")][..], Some("default")),
            (&[(OURS, "disabled"), (ISTIO, "enabled")], None),
            (&[(ISTIO, "enabled"), (REVISION_LABEL, "canary")], Some("default")),
            (&[(REVISION_LABEL, "canary"), (ISTIO_REVISION, "other")], Some("canary")),
            (&[(ISTIO_REVISION, "other")], Some("other")),
            (&[("team", "a")], None),
        ] {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let map: BTreeMap<_, _> = labels.iter().map(owned).collect();
            assert_eq!(revision(&map), expected, "{labels:?}");
        }
    }
}
