//! The class by which gateways say that they are ours.

use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use mesh_rules::gateway_api::{API_VERSIONS, CLASS, CONTROLLER};
use serde_json::json;
use tracing::{info, warn};

use super::status::condition;
use super::{AFTER_ERROR, AGAIN, STATUS_MANAGER, resource};
use crate::cluster::{FIELD_MANAGER, explain};

/// How often it is tried on a cluster without the Gateway API: somebody may wait for the class
/// who has just brought it.
const WITHOUT_API: Duration = Duration::from_secs(10);

/// Writes it, as soon as the cluster has the Gateway API, and again when somebody took it away;
/// never ends by itself.
pub(super) async fn keep(client: &kube::Client) {
    let mut was_there = false;
    loop {
        let pause = match ensure(client).await {
            Ok(is_there) => {
                if is_there && !was_there {
                    info!(class = CLASS, "the GatewayClass is there");
                }
                was_there = is_there;
                if is_there { AGAIN } else { WITHOUT_API }
            }
            Err(error) => {
                warn!(error = explain(&error), "the GatewayClass cannot be written");
                AFTER_ERROR
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Writes it; false where the cluster has no Gateway API.
async fn ensure(client: &kube::Client) -> Result<bool, kube::Error> {
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
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
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
    api.patch_status(CLASS, &params, &Patch::Apply(status)).await.map(|_| true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use axum::http::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    /// An API server that has the Gateway API when the switch is on, and the paths of what it
    /// has stored.
    fn api_server(has_api: Arc<AtomicBool>) -> (kube::Client, Arc<Mutex<Vec<String>>>) {
        let stored = Arc::new(Mutex::new(Vec::new()));
        let paths = Arc::clone(&stored);
        let server = service_fn(move |request: Request<Body>| {
            let (code, body) = if has_api.load(Ordering::Relaxed) {
                paths.lock().unwrap().push(request.uri().path().to_owned());
                (200, json!({"metadata": {"name": CLASS}}))
            } else {
                (404, json!({"status": "Failure", "code": 404, "reason": "NotFound"}))
            };
            let body = Body::from(body.to_string().into_bytes());
            let response = Response::builder().status(code).body(body);
            async move { response }
        });
        (kube::Client::new(server, "default"), stored)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_written_soon_after_the_api_has_come_and_kept() {
        let has_api = Arc::new(AtomicBool::new(false));
        let (client, stored) = api_server(Arc::clone(&has_api));
        let written = || std::mem::take(&mut *stored.lock().unwrap());
        tokio::spawn(async move { keep(&client).await });
        tokio::time::sleep(10 * AGAIN).await;
        assert!(written().is_empty());

        has_api.store(true, Ordering::Relaxed);
        tokio::time::sleep(WITHOUT_API).await;
        let class = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/mesh";
        assert_eq!(written(), [class.to_owned(), format!("{class}/status")]);
        tokio::time::sleep(AGAIN).await;
        assert_eq!(written().len(), 2, "somebody may have taken it away");
    }
}
