//! Other meshes in the same cluster.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;

use super::{Finding, Found};
use crate::PART_OF;

const CHECK: &str = "other meshes";

/// How injectors of others are called.
const INJECTORS: [(&str, &str); 4] = [
    ("istio-sidecar-injector", ISTIO),
    ("istio-revision-tag", ISTIO),
    ("linkerd-proxy-injector", "Linkerd"),
    ("kuma-admission", "Kuma"),
];
const ISTIO: &str = "Istio";

pub(super) async fn check(client: &Client, namespace: &str, values: &Value) -> Found {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let webhooks = api.list(&ListParams::default()).await?.items;
    let mut findings: Vec<Finding> = INJECTORS
        .iter()
        .filter_map(|(name, mesh)| {
            let has_it = |one: &&MutatingWebhookConfiguration| name_of(one).starts_with(name);
            Some(other(mesh, name_of(webhooks.iter().find(has_it)?), values))
        })
        .collect();
    findings.extend(webhooks.iter().filter_map(|one| second(one, namespace)));
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "there is none"));
    }
    Ok(findings)
}

fn name_of(webhook: &MutatingWebhookConfiguration) -> &str {
    webhook.metadata.name.as_deref().unwrap_or_default()
}

fn other(mesh: &str, webhook: &str, values: &Value) -> Finding {
    if mesh == ISTIO && values["webhooks"]["besideIstio"] != true {
        return Finding::error(
            CHECK,
            format!(
                "Istio is here ({webhook}), and pods with its labels would get two sidecars; \
                 leave them to it with --set webhooks.besideIstio=true, and label namespaces of \
                 ours mesh-injection=enabled, or take Istio off first"
            ),
        );
    }
    Finding::warning(
        CHECK,
        format!("{mesh} is here, too ({webhook}); label no namespace for both of them"),
    )
}

/// A second control plane of ours has the namespace of the first one: they share the roots, which
/// each would publish in every namespace over the other's.
fn second(webhook: &MutatingWebhookConfiguration, namespace: &str) -> Option<Finding> {
    let labels = webhook.metadata.labels.as_ref()?;
    if labels.get(PART_OF.0).is_none_or(|value| value != PART_OF.1) {
        return None;
    }
    let service = webhook.webhooks.iter().flatten().next()?.client_config.service.clone()?;
    let message = format!(
        "the mesh is installed in the namespace {0} already, and a cluster has one: say \
         --mesh-namespace {0}, with another --revision for a control plane beside it",
        service.namespace
    );
    (namespace != service.namespace).then(|| Finding::error(CHECK, message))
}
