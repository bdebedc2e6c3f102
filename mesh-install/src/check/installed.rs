//! The control plane that is there.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{Finding, Found};
use crate::kinds::{self, MUTATING, VALIDATING};
use crate::revisions::Revisions;
use crate::upgrade::{self, Says};
use crate::wait::Target;
use crate::{ObjectName, PART_OF, REVISION_LABEL, names};

const CHECK: &str = "control plane";
/// For one pilot to take over from another.
const HAND_OVER: Duration = Duration::from_secs(4);

pub(super) async fn check(client: &Client, namespace: &str) -> Found {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={}", PART_OF.0, PART_OF.1));
    let deployments = deployments.list(&ours).await?.items;
    let is_pilot = |one: &&Deployment| label(one, "app") == Some(names::PILOT);
    let pilots: Vec<_> = deployments.iter().filter(is_pilot).collect();
    if pilots.is_empty() {
        return Ok(vec![Finding::error(
            CHECK,
            format!("there is none in the namespace {namespace}; `meshctl install` makes it"),
        )]);
    }
    let mut findings = Vec::new();
    for deployment in &deployments {
        let object = ObjectName {
            kind: "Deployment".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: deployment.metadata.name.clone().unwrap_or_default(),
        };
        findings.push(of_target(client, Target::Workload(object)).await);
    }
    let mut revisions = Vec::new();
    for pilot in pilots {
        let revision = label(pilot, REVISION_LABEL).unwrap_or_default();
        findings.push(of_leader(client, namespace, revision).await?);
        revisions.push(revision.to_owned());
    }
    for kind in [MUTATING, VALIDATING].into_iter().filter_map(kinds::find) {
        for webhook in kind.api(client, None).list_metadata(&ours).await?.items {
            let name = webhook.metadata.name.unwrap_or_default();
            let object = ObjectName { kind: kind.kind.to_owned(), namespace: None, name };
            findings.push(of_target(client, Target::Webhook(object)).await);
        }
    }
    let roots = names::ROOTS.to_owned();
    let roots = Target::ConfigMap { namespace: namespace.to_owned(), name: roots };
    findings.push(of_target(client, roots).await);
    findings.extend(of_labels(client, namespace, &revisions).await?);
    Ok(findings)
}

fn label<'a>(deployment: &'a Deployment, name: &str) -> Option<&'a str> {
    deployment.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

async fn of_target(client: &Client, target: Target) -> Finding {
    match target.lacks(client).await {
        None => Finding::ok(CHECK, format!("{target} is ready")),
        Some(lack) => Finding::error(CHECK, format!("{target}: {}", lack.why)),
    }
}

async fn of_leader(client: &Client, namespace: &str, revision: &str) -> kube::Result<Finding> {
    let lease = names::lease(revision);
    let Some(holder) = holder(client, namespace, &lease).await? else {
        return Ok(Finding::error(
            CHECK,
            format!(
                "no pilot of the revision {revision} leads (Lease {lease}); their logs say why"
            ),
        ));
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(match pods.get_opt(&holder).await? {
        Some(_) => Finding::ok(CHECK, format!("{holder} leads")),
        None => Finding::warning(
            CHECK,
            format!("{holder} has led and is gone; another pilot takes its place in seconds"),
        ),
    })
}

/// Who leads; waits a moment, as one that ends hands over to another.
async fn holder(client: &Client, namespace: &str, lease: &str) -> kube::Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let deadline = Instant::now() + HAND_OVER;
    loop {
        let holder = leases.get_opt(lease).await?.and_then(|lease| lease.spec?.holder_identity);
        let holder = holder.filter(|holder| !holder.is_empty());
        if holder.is_some() || Instant::now() >= deadline {
            return Ok(holder);
        }
        tokio::time::sleep(HAND_OVER / 20).await;
    }
}

/// Namespaces that ask for a revision that is not there: their pods get no sidecar. Beside an
/// Istio, its labels are its own.
async fn of_labels(client: &Client, namespace: &str, pilots: &[String]) -> Found {
    let is_beside_istio = Revisions::installed(client, namespace).await?.are_beside_istio();
    let namespaces = upgrade::namespaces(client, namespace).await?.into_iter();
    let finding = namespaces.filter_map(|(name, says)| {
        let Says::Asks { revision, by_istios } = says else { return None };
        let is_fine = pilots.contains(&revision) || by_istios && is_beside_istio;
        (!is_fine).then(|| {
            Finding::warning(
                CHECK,
                format!(
                    "the namespace {name} asks for the revision {revision}, which is not there: \
                     its pods get no sidecar"
                ),
            )
        })
    });
    Ok(finding.collect())
}
