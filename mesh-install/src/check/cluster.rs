//! What is in the cluster already: a namespace that goes, an installation that was begun,
//! webhooks that answer nobody.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::{Finding, Found, text};
use crate::kinds::{self, MUTATING, VALIDATING};
use crate::{PART_OF, injection};

const CHECK: &str = "cluster";
/// The label of the settings of injection.
const INJECTION: (&str, &str) = ("app.kubernetes.io/component", "injection");

pub(super) async fn check(client: &Client, namespace: &str, values: &Value) -> Found {
    let (place, before, dead) = tokio::join!(
        of_namespace(client, namespace),
        of_trust_domain(client, namespace, values),
        dead_webhooks(client),
    );
    Ok([place?, before?, dead?].into_iter().flatten().collect())
}

async fn of_namespace(client: &Client, name: &str) -> Found {
    let api: Api<Namespace> = Api::all(client.clone());
    let phase = api.get_opt(name).await?.and_then(|found| found.status?.phase);
    Ok(match phase.as_deref() {
        Some("Terminating") => vec![Finding::error(
            CHECK,
            format!(
                "the namespace {name} is being deleted; wait until it is gone (`kubectl get \
                 namespace {name} -o yaml` says what keeps it)"
            ),
        )],
        _ => Vec::new(),
    })
}

/// Everybody's identity begins with it: with another one nobody would trust anybody, neither over
/// time nor from one revision to another.
async fn of_trust_domain(client: &Client, namespace: &str, values: &Value) -> Found {
    let Some(wanted) = values["trustDomain"].as_str() else { return Ok(Vec::new()) };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let ours = format!("{}={},{}={}", PART_OF.0, PART_OF.1, INJECTION.0, INJECTION.1);
    let settings = api.list(&ListParams::default().labels(&ours)).await?.items;
    let finding = settings.iter().find_map(|map| {
        let text = map.data.as_ref()?.get(injection::KEY)?;
        let settings: Value = mesh_yaml::read(text).ok()?;
        let now = settings["trustDomain"].as_str().filter(|now| *now != wanted)?;
        Some(Finding::error(
            CHECK,
            format!(
                "the mesh that is here (revision {}) has the trust domain {now}, not {wanted}; it \
                 cannot be changed while it runs, and sidecars of two would refuse each other; say \
                 --set trustDomain={now}",
                self::text(&settings, "/revision")
            ),
        ))
    });
    Ok(finding.into_iter().collect())
}

/// Webhooks of others that fail closed and whose service has nobody behind it: they refuse
/// what they are asked about.
pub(super) async fn dead_webhooks(client: &Client) -> Found {
    let slices: Api<EndpointSlice> = Api::all(client.clone());
    let slices = slices.list(&ListParams::default()).await?;
    let served: BTreeSet<(String, String)> = slices.iter().filter_map(served_by).collect();
    let mut findings = Vec::new();
    for kind in [MUTATING, VALIDATING].into_iter().filter_map(kinds::find) {
        let listed = kind.api(client, None).list(&ListParams::default()).await?;
        findings.extend(listed.items.iter().filter_map(|one| dead(one, &served)));
    }
    Ok(findings)
}

fn served_by(slice: &EndpointSlice) -> Option<(String, String)> {
    let is_ready = |endpoint: &Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    slice.endpoints.iter().flatten().any(is_ready).then_some(())?;
    let service = slice.metadata.labels.as_ref()?.get("kubernetes.io/service-name")?;
    Some((slice.metadata.namespace.clone()?, service.clone()))
}

fn dead(configuration: &DynamicObject, served: &BTreeSet<(String, String)>) -> Option<Finding> {
    let labels = configuration.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(PART_OF.0)).is_some_and(|value| value == PART_OF.1) {
        return None;
    }
    let webhooks = configuration.data.get("webhooks")?.as_array()?;
    let service = |webhook: &Value| {
        let service = webhook.pointer("/clientConfig/service")?;
        let name = (text(service, "/namespace").to_owned(), text(service, "/name").to_owned());
        (webhook["failurePolicy"] != "Ignore" && !served.contains(&name)).then_some(name)
    };
    let (namespace, name) = webhooks.iter().find_map(service)?;
    let configuration = configuration.metadata.name.as_deref().unwrap_or_default();
    Some(Finding::warning(
        "webhooks",
        format!(
            "the webhook {configuration} refuses whatever it is asked about, as nobody is behind \
             its Service {namespace}/{name}; bring that back, or delete the webhook"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_webhook_that_fails_closed_and_has_nobody_is_told_of() {
        let webhook = |policy: &str, service: &str| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": MUTATING,
                "metadata": {"name": "policies"},
                "webhooks": [{
                    "failurePolicy": policy,
                    "clientConfig": {"service": {"namespace": "a", "name": service}},
                }],
            }))
            .unwrap()
        };
        let served = BTreeSet::from([("a".to_owned(), "alive".to_owned())]);
        assert_eq!(dead(&webhook("Fail", "alive"), &served), None);
        assert_eq!(dead(&webhook("Ignore", "dead"), &served), None);
        let finding = dead(&webhook("Fail", "dead"), &served).unwrap();
        assert!(finding.message.contains("policies") && finding.message.contains("a/dead"));
    }
}
