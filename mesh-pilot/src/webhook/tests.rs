//! The roots in the webhooks' configurations, against a stub of the API server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use k8s_openapi::ByteString;
use mesh_testkit::eventually_async;
use mesh_tls::{Authority, TrustBundle};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::WatchStream;

use super::{Configurations, keep_ca_bundle};
use crate::ca::Trust;

const MUTATING: &str = "mesh-sidecar-injector-mesh-system";
const VALIDATING: &str = "mesh-validator-mesh-system";

/// One configuration of each kind, with one webhook.
#[derive(Clone)]
struct ApiServer {
    objects: Arc<Mutex<HashMap<String, Value>>>,
    changes: watch::Sender<u64>,
}

impl ApiServer {
    async fn start() -> (Self, kube::Client) {
        let object = |kind: &str, name: &str| {
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name, "resourceVersion": "1"},
                "webhooks": [{"name": "a.mesh", "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {"name": "mesh-pilot", "namespace": "a"}}}]})
        };
        let objects = HashMap::from([
            (MUTATING.to_owned(), object("MutatingWebhookConfiguration", MUTATING)),
            (VALIDATING.to_owned(), object("ValidatingWebhookConfiguration", VALIDATING)),
        ]);
        let server =
            Self { objects: Arc::new(Mutex::new(objects)), changes: watch::Sender::new(1) };
        let all = "/apis/admissionregistration.k8s.io/v1/{plural}";
        let app = Router::new()
            .route(all, get(list))
            .route(&format!("{all}/{{name}}"), patch(merge))
            .with_state(server.clone());
        (server, crate::cluster::client_of(app).await)
    }

    fn set(&self, name: &str, bundle: Value) {
        let mut objects = self.objects.lock().unwrap();
        let object = objects.get_mut(name).unwrap();
        object["webhooks"][0]["clientConfig"]["caBundle"] = bundle;
        self.changes.send_modify(|version| *version += 1);
        object["metadata"]["resourceVersion"] = json!(self.changes.borrow().to_string());
    }

    /// Empty when there is none.
    fn bundle(&self, name: &str) -> String {
        let objects = self.objects.lock().unwrap();
        let bundle = objects[name]["webhooks"][0]["clientConfig"]["caBundle"].clone();
        let ByteString(bytes) = serde_json::from_value(bundle).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    async fn both_become(&self, roots: &str) {
        eventually_async("the roots in both", async || {
            let is_right = |name: &str| self.bundle(name) == roots;
            (is_right(MUTATING) && is_right(VALIDATING)).then_some(())
        })
        .await;
    }
}

fn named(plural: &str) -> &'static str {
    if plural == "mutatingwebhookconfigurations" { MUTATING } else { VALIDATING }
}

async fn list(
    State(server): State<ApiServer>,
    Path(plural): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let name = named(&plural);
    assert_eq!(query["fieldSelector"], format!("metadata.name={name}"));
    let object = move || server.objects.lock().unwrap()[name].clone();
    if !query.contains_key("watch") {
        let version = object()["metadata"]["resourceVersion"].clone();
        let list = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "List",
            "metadata": {"resourceVersion": version}, "items": [object()]});
        return Json(list).into_response();
    }
    let events = WatchStream::new(server.changes.subscribe()).map(move |_| {
        let event = json!({"type": "MODIFIED", "object": object()});
        Ok::<_, Infallible>(format!("{event}\n"))
    });
    Body::from_stream(events).into_response()
}

async fn merge(
    State(server): State<ApiServer>,
    Path((plural, name)): Path<(String, String)>,
    Json(patch): Json<Value>,
) -> Json<Value> {
    assert_eq!(name, named(&plural));
    assert_eq!(patch["webhooks"][0]["name"], "a.mesh");
    server.set(&name, patch["webhooks"][0]["clientConfig"]["caBundle"].clone());
    Json(server.objects.lock().unwrap()[&name].clone())
}

fn trust() -> (Trust, String) {
    let life = Duration::from_secs(86_400);
    let authority = Authority::create("cluster.local", life, SystemTime::now()).unwrap();
    let bundle = TrustBundle::from_pem(authority.root_pem().as_bytes()).unwrap();
    let roots = bundle.to_pem();
    (Trust { authority: Arc::new(authority), bundle }, roots)
}

#[tokio::test]
async fn the_leader_keeps_the_roots_right_whoever_changes_what() {
    let (server, client) = ApiServer::start().await;
    let ((first, roots), (second, new_roots)) = (trust(), trust());
    let (trust, leader) = (watch::Sender::new(first), watch::Sender::new(false));
    let names = Configurations::new("default", "mesh-system");
    let keeper = tokio::spawn(keep_ca_bundle(client, names, leader.subscribe(), trust.subscribe()));
    assert_eq!(server.bundle(MUTATING), "");
    leader.send_replace(true);
    server.both_become(&roots).await;
    trust.send_replace(second);
    server.both_become(&new_roots).await;
    // As by `kubectl apply` of the chart.
    server.set(MUTATING, Value::Null);
    server.set(VALIDATING, json!("Cg=="));
    server.both_become(&new_roots).await;

    // Who leads no more writes no more, and who leads again looks again.
    leader.send_replace(false);
    server.set(MUTATING, Value::Null);
    leader.send_replace(true);
    server.both_become(&new_roots).await;
    drop((leader, trust));
    keeper.await.unwrap();
}
