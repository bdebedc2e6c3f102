//! What namespaces say of sidecars, and to have them ask for another revision.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use mesh_inject::EXCLUDED_NAMESPACES;
use serde_json::json;

use crate::chart::REVISION;
use crate::kinds;
use crate::{ApplyError, Event, Events, FIELD_MANAGER, ObjectName, REVISION_LABEL};

const OURS: &str = "mesh-injection";
const ISTIO: &str = "istio-injection";
pub(super) const ISTIO_REVISION: &str = "istio.io/rev";

/// What a namespace's labels say. Who `by_istios` labels asks for a revision may mean an Istio's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Its pods get sidecars of a revision.
    Asks { revision: String, by_istios: bool },
    /// They get none.
    No,
    /// Each pod speaks for itself.
    Nothing,
}

/// All namespaces by name, but for the mesh's own and those whose pods never get a sidecar.
pub(crate) async fn all(client: &Client, mesh: &str) -> kube::Result<BTreeMap<String, Says>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let listed = api.list_metadata(&ListParams::default()).await?;
    let all = listed.items.into_iter().filter_map(|namespace| {
        let says = says(&namespace.metadata.labels.unwrap_or_default());
        Some((namespace.metadata.name?, says))
    });
    Ok(all.filter(|(name, _)| name != mesh && !EXCLUDED_NAMESPACES.contains(&&**name)).collect())
}

/// In the order in which the injector looks.
fn says(labels: &BTreeMap<String, String>) -> Says {
    let asks = |revision: &str, by_istios| Says::Asks { revision: revision.to_owned(), by_istios };
    for (label, by_istios) in [(OURS, false), (ISTIO, true)] {
        match labels.get(label).map(String::as_str) {
            Some("enabled") => return asks(REVISION, by_istios),
            Some(_) => return Says::No,
            None => {}
        }
    }
    for (label, by_istios) in [(REVISION_LABEL, false), (ISTIO_REVISION, true)] {
        if let Some(revision) = labels.get(label) {
            return asks(revision, by_istios);
        }
    }
    Says::Nothing
}

/// Takes the labels of another revision away and sets that of this one, at once. Istio's go as
/// well: beside them ours would not be heeded.
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

pub(super) fn named(name: &str) -> ObjectName {
    ObjectName { name: name.to_owned(), ..ObjectName::all(kinds::NAMESPACE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_asks_for_what_the_injector_takes_it_to_ask_for() {
        let asks = |revision: &str, by_istios| Says::Asks { revision: revision.into(), by_istios };
        for (labels, expected) in [
            (&[(OURS, "enabled")][..], asks("default", false)),
            (&[(OURS, "disabled"), (ISTIO, "enabled")], Says::No),
            (&[(ISTIO, "disabled"), (REVISION_LABEL, "canary")], Says::No),
            (&[(ISTIO, "enabled"), (REVISION_LABEL, "canary")], asks("default", true)),
            (&[(REVISION_LABEL, "canary"), (ISTIO_REVISION, "other")], asks("canary", false)),
            (&[(ISTIO_REVISION, "other")], asks("other", true)),
            (&[("team", "a")], Says::Nothing),
        ] {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let map: BTreeMap<_, _> = labels.iter().map(owned).collect();
            assert_eq!(says(&map), expected, "{labels:?}");
        }
    }
}
