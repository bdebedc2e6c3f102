//! The values that an installation was made with, so that an upgrade knows them.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use crate::chart::{self, ChartError, Release, Rendered};
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

/// The values that a revision was installed with, if meshctl installed it.
///
/// # Errors
/// When the API server does not say.
pub async fn remembered(
    client: &Client,
    namespace: &str,
    revision: &str,
) -> kube::Result<Option<Value>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(&names::pilot(revision)).await?;
    let annotation = found.and_then(|found| found.metadata.annotations?.remove(ANNOTATION));
    Ok(annotation.and_then(|text| serde_json::from_str(&text).ok()))
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
