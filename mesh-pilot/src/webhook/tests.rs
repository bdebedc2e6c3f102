//! What needs an API server, against a stub of one.

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
use mesh_inject::Config;
use mesh_testkit::eventually_async;
use mesh_tls::{Authority, TrustBundle};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::WatchStream;

use super::{Cluster, Configurations, keep_ca_bundle};
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
    (Trust { authority: Arc::new(authority), bundle, is_known: true }, roots)
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

/// An API server with one node of this version, and three namespaces.
async fn cluster(kubelet: &'static str) -> Cluster {
    let nodes = move |Query(query): Query<HashMap<String, String>>| async move {
        if query.contains_key("watch") {
            return Body::from_stream(tokio_stream::pending::<Result<String, Infallible>>())
                .into_response();
        }
        let node = json!({"metadata": {"name": "a"}, "status": {"nodeInfo": {
            "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
            "systemUUID": "", "kubeletVersion": kubelet}}});
        let list = json!({"apiVersion": "v1", "kind": "NodeList",
            "metadata": {"resourceVersion": "1"}, "items": [node]});
        Json(list).into_response()
    };
    let namespace = async |Path(name): Path<String>| {
        let labels = match name.as_str() {
            "shop" | "mesh-system" => json!({"mesh-injection": "enabled"}),
            "plain" => json!({}),
            _ => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "code": 404,
                    "status": "Failure", "reason": "NotFound", "message": "no such namespace"});
                return (axum::http::StatusCode::NOT_FOUND, Json(status));
            }
        };
        let object = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "labels": labels}});
        (axum::http::StatusCode::OK, Json(object))
    };
    let version = json!({"major": "1", "minor": "34", "gitVersion": "v1.34.2", "gitCommit": "",
        "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let app = Router::new()
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/namespaces/{name}", get(namespace))
        .route("/version", get(async || Json(version)));
    let client = crate::cluster::client_of(app).await;
    let cluster = Cluster::start(client, "mesh-system");
    cluster.versions().wait_for(Option::is_some).await.unwrap();
    cluster
}

/// What a pod of this namespace gets: nothing, or the number of its containers.
async fn containers(cluster: &Cluster, namespace: &str) -> Option<usize> {
    let request = serde_json::from_value(json!({"uid": "1", "kind": {"kind": "Pod"},
        "operation": "CREATE", "namespace": namespace,
        "object": {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}}}));
    let decision = cluster.decide(&request.unwrap(), &Config::default()).await;
    assert_eq!(decision.refusal, None);
    if decision.patch.is_empty() {
        return None;
    }
    let mut plain = decision.patch.iter().filter(|step| step["path"] == "/spec/containers");
    Some(plain.next().map_or(1, |step| step["value"].as_array().unwrap().len()))
}

#[tokio::test]
async fn the_namespace_decides_and_the_nodes_say_which_kind_of_sidecar() {
    let new = cluster("v1.34.2").await;
    assert_eq!(containers(&new, "shop").await, Some(1), "a native one is an init container");
    assert_eq!(containers(&new, "plain").await, None);
    assert_eq!(containers(&new, "mesh-system").await, None);
    assert_eq!(containers(&new, "gone").await, Some(1), "the API server has asked, after all");
    let old = cluster("v1.28.9").await;
    assert_eq!(containers(&old, "shop").await, Some(2));
}
