//! `/inject`: pods that are made get their sidecars.

use mesh_inject::{Config, Outcome, inject_pod};
use serde_json::Value;
use tracing::{debug, info};

use super::patch::patch;
use super::review::{Decision, Request};

/// The same as `meshctl inject` does with the same settings.
pub(super) fn decide(request: &Request, config: &Config) -> Decision {
    let is_pod = request.kind.group.is_empty() && request.kind.kind == "Pod";
    if !is_pod || request.operation != "CREATE" || !request.sub_resource.is_empty() {
        let what = format!("{} of {}", request.operation, request.kind.kind);
        return Decision {
            warnings: vec![format!("only pods get sidecars, when they are made; not {what}")],
            ..Decision::allowed()
        };
    }
    let pod = name(request);
    let Some(object) = request.object.as_object() else {
        return Decision::refused("the pod is no map".to_owned());
    };
    let part = |name: &str| object.get(name).cloned().unwrap_or_default();
    let before = [part("metadata"), part("spec")];
    let [mut metadata, mut spec] = before.clone();
    match inject_pod(&mut metadata, &mut spec, config) {
        Err(error) => {
            info!(%pod, "refused: {error}");
            Decision::refused(error.to_string())
        }
        Ok(report) => {
            if let Outcome::LeftAlone(reason) = &report.outcome {
                debug!(%pod, "no sidecar: {reason}");
                return Decision::allowed();
            }
            debug!(%pod, "gets its sidecar");
            let patch =
                [patch("metadata", &before[0], &metadata), patch("spec", &before[1], &spec)];
            let not_honoured = report.ignored.into_iter();
            let warnings = not_honoured.map(|name| format!("not honoured: {name}")).collect();
            Decision { patch: patch.concat(), warnings, ..Decision::allowed() }
        }
    }
}

/// For the log. The pod of a Deployment has no name yet.
fn name(request: &Request) -> String {
    let metadata = &request.object["metadata"];
    let text = |field: &str| metadata.get(field).and_then(Value::as_str);
    let name = text("name").or_else(|| text("generateName")).unwrap_or("(unnamed)");
    format!("{}/{name}", request.namespace)
}
