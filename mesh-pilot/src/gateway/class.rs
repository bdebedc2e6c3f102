//! The class by which gateways say that they are ours.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use mesh_rules::gateway_api::{API_VERSIONS, CLASS, CONTROLLER};
use serde_json::json;

use super::status::condition;
use super::{STATUS_MANAGER, resource};
use crate::cluster::FIELD_MANAGER;

/// Writes it, where the cluster has the Gateway API.
pub(super) async fn ensure(client: &kube::Client) -> Result<(), kube::Error> {
    let class = resource(API_VERSIONS[0], "GatewayClass");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &class);
    let object = json!({
        "apiVersion": API_VERSIONS[0],
        "kind": "GatewayClass",
        "metadata": {"name": CLASS, "labels": {"app.kubernetes.io/part-of": "mesh"}},
        "spec": {"controllerName": CONTROLLER, "description": "Gateways that the mesh runs"},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let stored = match api.patch(CLASS, &params, &Patch::Apply(object)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => other?,
    };
    let accepted = condition(
        &stored,
        "/status/conditions",
        ("Accepted", true, "Accepted"),
        "Gateways of this class are the mesh's",
    );
    let status = json!({
        "apiVersion": API_VERSIONS[0],
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "status": {"conditions": [accepted]},
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    api.patch_status(CLASS, &params, &Patch::Apply(status)).await.map(drop)
}
