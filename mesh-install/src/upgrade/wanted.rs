//! What proxies of a release are, and whether pods have them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_inject::STATUS_ANNOTATION;
use serde_json::Value;

use crate::chart::Rendered;
use crate::{REVISION_LABEL, injection};

/// What proxies of a release are made by.
pub(super) struct Wanted {
    pub(super) revision: String,
    settings: Option<String>,
}

impl Wanted {
    /// As the settings of the injector say.
    pub(super) fn of(objects: &[Rendered]) -> Self {
        let settings = objects.iter().find_map(|one| one.object["data"][injection::KEY].as_str());
        let settings: Value =
            settings.and_then(|text| mesh_yaml::read(text).ok()).unwrap_or_default();
        let text = |name: &str| settings[name].as_str().map(str::to_owned);
        Self { revision: text("revision").unwrap_or_default(), settings: text("settingsDigest") }
    }

    /// Whether an injected pod, or template, is of another revision or was made by other settings.
    pub(super) fn is_stale(&self, metadata: &ObjectMeta) -> bool {
        revision(metadata) != Some(&self.revision) || made_by(metadata) != self.settings
    }
}

/// The revision that has injected a pod, or template.
pub(super) fn revision(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get(REVISION_LABEL).map(String::as_str)
}

/// What injection has noted of the settings by which it made a pod.
fn made_by(metadata: &ObjectMeta) -> Option<String> {
    let status = metadata.annotations.as_ref()?.get(STATUS_ANNOTATION)?;
    let status: Value = serde_json::from_str(status).ok()?;
    status["settings"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pod_was_made_by_is_its_revision_and_all_settings() {
        let wanted = Wanted { revision: "default".to_owned(), settings: Some("abc".to_owned()) };
        for (revision, status, stale) in [
            ("default", r#"{"settings": "abc"}"#, false),
            ("default", r#"{"settings": "def"}"#, true),
            ("default", r#"{"containers": []}"#, true),
            ("canary", r#"{"settings": "abc"}"#, true),
        ] {
            let metadata = serde_json::from_value(json!({
                "labels": {REVISION_LABEL: revision}, "annotations": {STATUS_ANNOTATION: status},
            }));
            assert_eq!(wanted.is_stale(&metadata.unwrap()), stale, "{revision} {status}");
        }
    }
}
