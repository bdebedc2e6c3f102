//! The values that an installation was made with, so that an upgrade knows them.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};

use crate::chart::{self, ChartError, REVISION, Release, Rendered};
use crate::{REVISION_LABEL, names};

/// The annotation of the pilots' Deployment.
const ANNOTATION: &str = "sidecar.mesh/values";
/// Not remembered: a later version has another.
const OF_THIS_VERSION: &str = "tag";

/// Everything that a release is made of, with its values beside it.
///
/// # Errors
/// As [`chart::render`].
pub fn objects(release: &Release) -> Result<Vec<Rendered>, ChartError> {
    let mut objects = chart::render(release)?;
    let mut values = Value::Object(Map::new());
    release.values.iter().for_each(|over| chart::lay_over(&mut values, over));
    if let Value::Object(values) = &mut values {
        values.remove(OF_THIS_VERSION);
    }
    for rendered in &mut objects {
        let object = &mut rendered.object;
        if object["kind"] == "Deployment" && object["metadata"]["labels"]["app"] == names::PILOT {
            object["metadata"]["annotations"] = json!({ANNOTATION: values.to_string()});
        }
    }
    Ok(objects)
}

/// Values of an installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// As they were said to meshctl.
    pub values: Value,
    /// The revision that was installed with them.
    pub of: String,
}

/// The values that a revision was installed with, if meshctl installed it. One that is not there
/// yet begins with those of the revision that it is put beside: it has the same images, trust
/// domain and secrets.
///
/// # Errors
/// When the API server does not say.
pub async fn remembered(
    client: &Client,
    namespace: &str,
    revision: &str,
) -> kube::Result<Option<Known>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("app={}", names::PILOT));
    let pilots = api.list(&selector).await?.items;
    let of = |revision: &str| {
        pilots.iter().find(|one| one.labels().get(REVISION_LABEL).is_some_and(|is| is == revision))
    };
    let found = of(revision).or_else(|| of(REVISION)).or(pilots.first());
    Ok(found.and_then(known).map(|mut known| {
        if known.of != revision {
            without_own(&mut known.values);
        }
        known
    }))
}

fn known(pilot: &Deployment) -> Option<Known> {
    let values = serde_json::from_str(pilot.annotations().get(ANNOTATION)?).ok()?;
    Some(Known { values, of: pilot.labels().get(REVISION_LABEL)?.clone() })
}

/// Takes away what is one revision's alone: its name, and that it has the gateway.
fn without_own(values: &mut Value) {
    let Value::Object(values) = values else { return };
    values.remove("revision");
    if let Some(Value::Object(gateway)) = values.get_mut("ingressGateway") {
        gateway.remove("enabled");
    }
}

/// The revision that the ingress gateway belongs to, if there is one.
///
/// # Errors
/// When the API server does not say.
pub async fn gateway_revision(client: &Client, namespace: &str) -> kube::Result<Option<String>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(names::INGRESS_GATEWAY).await?;
    Ok(found.and_then(|found| found.metadata.labels?.remove(REVISION_LABEL)))
}
