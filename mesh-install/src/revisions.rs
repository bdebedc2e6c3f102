//! The control planes of a mesh, by what their injectors ask about.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::ListParams;
use serde_json::Value;

use crate::chart::Rendered;
use crate::kinds::{self, MUTATING};
use crate::object::label;
use crate::{PART_OF, REVISION_LABEL};

/// How the chart's entries for Istio's labels are called; beside an Istio it has none of them.
const FOR_ISTIOS_LABELS: &str = "istio-";

/// The revisions that are there, and whether they heed Istio's labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revisions(BTreeMap<String, bool>);

impl Revisions {
    /// Those of the mesh in this namespace.
    pub(crate) async fn installed(client: &Client, mesh: &str) -> kube::Result<Self> {
        let mut revisions = Self::default();
        let Some(kind) = kinds::find(MUTATING) else { return Ok(revisions) };
        let ours = ListParams::default().labels(&format!("{}={}", PART_OF.0, PART_OF.1));
        for configuration in &kind.api(client, None).list(&ours).await?.items {
            let configuration = kinds::value(kind, configuration);
            if configuration["webhooks"][0]["clientConfig"]["service"]["namespace"] == mesh {
                revisions.add(&configuration);
            }
        }
        Ok(revisions)
    }

    /// With that of a release, as it will be.
    pub(crate) fn and(mut self, objects: &[Rendered]) -> Self {
        let objects = objects.iter().map(|rendered| &rendered.object);
        objects.filter(|object| object["kind"] == MUTATING).for_each(|object| self.add(object));
        self
    }

    fn add(&mut self, configuration: &Value) {
        let Some(revision) = label(configuration, REVISION_LABEL) else { return };
        let mut webhooks = configuration["webhooks"].as_array().into_iter().flatten();
        let is_for_istios = |one: &Value| {
            one["name"].as_str().is_some_and(|name| name.starts_with(FOR_ISTIOS_LABELS))
        };
        self.0.insert(revision.to_owned(), webhooks.any(is_for_istios));
    }

    /// Whether a label that names the revision, one of Istio's or of ours, means one of these.
    pub(crate) fn has(&self, revision: &str, by_istios: bool) -> bool {
        self.0.get(revision).is_some_and(|heeds_istios| *heeds_istios || !by_istios)
    }

    /// Whether Istio's labels are left to an Istio.
    pub(crate) fn are_beside_istio(&self) -> bool {
        !self.0.values().any(|heeds_istios| *heeds_istios)
    }
}
