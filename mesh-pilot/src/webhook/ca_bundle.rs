//! The API server asks the webhooks only when their certificate is signed by a root that their
//! configuration names (`caBundle`). Nobody but the pilot knows the mesh's roots, so that it
//! writes them there itself, and again when they change or somebody overwrites them.

use std::pin::pin;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tracing::{error, info};

use crate::ca::Trust;
use crate::cluster::FIELD_MANAGER;

/// After the API server has refused a patch.
const AGAIN: Duration = Duration::from_secs(10);

/// The names of the two configurations of a control plane.
#[derive(Clone, Debug)]
pub struct Configurations {
    /// Of the MutatingWebhookConfiguration.
    pub mutating: String,
    /// Of the ValidatingWebhookConfiguration.
    pub validating: String,
}

impl Configurations {
    /// Of this revision in this namespace, as `meshctl install` names them.
    pub fn new(revision: &str, namespace: &str) -> Self {
        let suffix = match revision {
            "default" => String::new(),
            revision => format!("-{revision}"),
        };
        Self {
            mutating: format!("mesh-sidecar-injector{suffix}-{namespace}"),
            validating: format!("mesh-validator{suffix}-{namespace}"),
        }
    }
}

/// Keeps the roots right in both configurations while this pilot is the leader; never ends.
pub async fn keep_ca_bundle(
    client: Client,
    names: Configurations,
    leader: watch::Receiver<bool>,
    trust: watch::Receiver<Trust>,
) {
    let mutating = keep::<MutatingWebhookConfiguration>(
        client.clone(),
        names.mutating,
        leader.clone(),
        trust.clone(),
    );
    let validating =
        keep::<ValidatingWebhookConfiguration>(client, names.validating, leader, trust);
    tokio::join!(mutating, validating);
}

/// One of the two kinds.
trait Configuration:
    Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Send
    + 'static
{
    /// Its webhooks: their names, and where they are.
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        let all = self.webhooks.iter().flatten();
        all.map(|webhook| (webhook.name.as_str(), &webhook.client_config)).collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        let all = self.webhooks.iter().flatten();
        all.map(|webhook| (webhook.name.as_str(), &webhook.client_config)).collect()
    }
}

async fn keep<K: Configuration>(
    client: Client,
    name: String,
    mut leader: watch::Receiver<bool>,
    mut trust: watch::Receiver<Trust>,
) {
    let api: Api<K> = Api::all(client);
    loop {
        if leader.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        tokio::select! {
            () = follow(&api, &name, &mut trust) => return,
            lost = async { leader.wait_for(|leads| !leads).await.is_err() } => if lost { return },
        }
    }
}

/// Ends when there are no more roots to come.
async fn follow<K: Configuration>(api: &Api<K>, name: &str, trust: &mut watch::Receiver<Trust>) {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut objects = pin!(watcher(api.clone(), only).default_backoff().touched_objects());
    let mut object = None;
    let mut failed = false;
    loop {
        tokio::select! {
            changed = objects.next() => match changed {
                Some(Ok(changed)) => object = Some(changed),
                // The watcher tries again by itself.
                Some(Err(error)) => {
                    error!(%error, "{} {name} cannot be watched", K::kind(&()));
                    continue;
                }
                None => return,
            },
            changed = trust.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
        let roots = trust.borrow_and_update().bundle.to_pem();
        failed = match &object {
            Some(object) => !put_right(api, object, &roots).await,
            None => false,
        };
    }
}

/// Writes the roots into the webhooks that have others, and says whether they are right now.
async fn put_right<K: Configuration>(api: &Api<K>, object: &K, roots: &str) -> bool {
    let wrong = wrong(&object.webhooks(), roots);
    if wrong.is_empty() || object.meta().deletion_timestamp.is_some() {
        return true;
    }
    let name = object.name_any();
    // Their list is merged by their names. Nothing is made: the object may be gone by now.
    let patch = Patch::Strategic(json!({"webhooks": wrong}));
    match api.patch(&name, &PatchParams::apply(FIELD_MANAGER), &patch).await {
        Ok(_) => {
            info!("{} {name} has the mesh's roots", K::kind(&()));
            true
        }
        Err(kube::Error::Api(status)) if status.code == 404 => true,
        Err(error) => {
            let kind = K::kind(&());
            error!(%error, "{kind} {name} cannot get the mesh's roots: the webhook is not asked");
            false
        }
    }
}

fn wrong(webhooks: &[(&str, &WebhookClientConfig)], roots: &str) -> Vec<Value> {
    let bundle = ByteString(roots.as_bytes().to_vec());
    let wrong = webhooks.iter().filter(|(_, at)| at.ca_bundle.as_ref() != Some(&bundle));
    wrong.map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_revision() {
        let names = Configurations::new("default", "mesh-system");
        assert_eq!(names.mutating, "mesh-sidecar-injector-mesh-system");
        let names = Configurations::new("canary", "mesh-system");
        assert_eq!(names.validating, "mesh-validator-canary-mesh-system");
    }
}
