//! The chart allows the pilot what it asks the API server for, and no more.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use mesh_testkit::DEADLINE;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cluster::{Pilot, missing, version};

const PAUSE: Duration = Duration::from_millis(20);
/// What only an agent, or the API server with a pod to inject, makes it ask for.
const BY_OTHERS: [(&str, &str, &str); 2] =
    [("authentication.k8s.io", "tokenreviews", "create"), ("", "namespaces", "get")];

/// A right that was needed, or is allowed.
#[derive(Debug, Clone, PartialEq)]
struct Right {
    group: String,
    resource: String,
    verb: String,
    /// Of an object; of what is allowed, none: any.
    name: Option<String>,
}

impl Right {
    fn allows(&self, asked: &Self) -> bool {
        let what = |right: &Self| (right.group.clone(), right.resource.clone(), right.verb.clone());
        what(self) == what(asked) && (self.name.is_none() || self.name == asked.name)
    }

    fn is_by_others(&self) -> bool {
        BY_OTHERS.contains(&(&self.group, &self.resource, &self.verb))
    }
}

/// By the ClusterRole and the Role of a manifest.
fn allowed(manifest: &str) -> Vec<Right> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mesh-install/tests/golden");
    let text = std::fs::read_to_string(folder.join(manifest)).unwrap();
    let objects = mesh_yaml::documents(&text).unwrap();
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        serde_json::from_value(rule.get(field).cloned().unwrap_or_default()).unwrap_or_default()
    };
    let mut rights = Vec::new();
    let roles = objects.iter().filter(|one| {
        let kind = &one.value["kind"];
        kind == "ClusterRole" || kind == "Role"
    });
    for rule in roles.flat_map(|role| role.value["rules"].as_array().unwrap()) {
        let names = texts(rule, "resourceNames");
        let names: Vec<_> = match names.is_empty() {
            true => vec![None],
            false => names.into_iter().map(Some).collect(),
        };
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    rights.extend(names.iter().map(|name| Right {
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    rights
}

/// A request as the API server's authorization sees it.
struct Request {
    group: String,
    resource: String,
    sub_resource: Option<String>,
    name: Option<String>,
}

impl Request {
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _version, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let rest = match rest {
            ["namespaces", _namespace, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let own = |part: &&str| (*part).to_owned();
        Some(Self {
            group: group.to_owned(),
            resource: rest.first().map(own)?,
            name: rest.get(1).map(own),
            sub_resource: rest.get(2).map(own),
        })
    }
}

/// An API server with one object of each kind that makes a pilot do something.
#[derive(Clone, Default)]
struct ApiServer {
    asked: Arc<Mutex<Vec<Right>>>,
    /// What was made, by path.
    made: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl ApiServer {
    fn note(&self, request: &Request, verb: &str, name: Option<String>) {
        let resource = match &request.sub_resource {
            Some(sub_resource) => format!("{}/{sub_resource}", request.resource),
            None => request.resource.clone(),
        };
        let (group, verb) = (request.group.clone(), verb.to_owned());
        let right = Right { group, resource, verb, name };
        let mut asked = self.asked.lock().unwrap();
        if !asked.contains(&right) {
            asked.push(right);
        }
    }
}

/// What there is to begin with.
fn objects(group: &str, resource: &str) -> Vec<Value> {
    let istio = |version: &str, kind: &str| {
        vec![json!({"apiVersion": format!("{group}/{version}"), "kind": kind,
            "metadata": {"name": "a", "namespace": "shop", "uid": "1", "generation": 1,
                "resourceVersion": "1"},
            "spec": {"future": 1}})]
    };
    let with_spec = |kind: &str, spec: Value| {
        let mut objects = istio("v1", kind);
        objects[0]["spec"] = spec;
        objects
    };
    let webhooks = |kind: &str, name: &str| {
        vec![json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": name, "resourceVersion": "1"},
            "webhooks": [{"name": "a.mesh", "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://a"}}]})]
    };
    match (group, resource) {
        ("", "namespaces") => vec![json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "resourceVersion": "1"}})],
        (_, "mutatingwebhookconfigurations") => {
            webhooks("MutatingWebhookConfiguration", "mesh-sidecar-injector-mesh-system")
        }
        (_, "validatingwebhookconfigurations") => {
            webhooks("ValidatingWebhookConfiguration", "mesh-validator-mesh-system")
        }
        ("networking.istio.io", "virtualservices") => istio("v1", "VirtualService"),
        ("networking.istio.io", "destinationrules") => istio("v1", "DestinationRule"),
        ("networking.istio.io", "gateways") => istio("v1", "Gateway"),
        ("security.istio.io", "peerauthentications") => istio("v1", "PeerAuthentication"),
        (_, "gateways") => with_spec(
            "Gateway",
            json!({"gatewayClassName": "mesh",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}),
        ),
        (_, "httproutes") => with_spec(
            "HTTPRoute",
            json!({
            "parentRefs": [{"group": "", "kind": "Service", "name": "cart"}],
            "rules": [{"filters": [{"type": "ExtensionRef", "extensionRef": {"name": "x"}}]}]}),
        ),
        _ => Vec::new(),
    }
}

async fn answer(
    State(server): State<ApiServer>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(request) = Request::of(uri.path()) else {
        return match uri.path() {
            "/version" => Json(version()).into_response(),
            _ => missing().into_response(),
        };
    };
    let named = request.name.clone();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (method, &named) {
        (Method::GET, None) => {
            let only = query.get("fieldSelector").and_then(|only| only.split_once('='));
            let is_watch = query.contains_key("watch");
            let verb = if is_watch { "watch" } else { "list" };
            server.note(&request, verb, only.map(|(_, name)| name.to_owned()));
            if is_watch {
                let nothing = tokio_stream::pending::<Result<String, std::io::Error>>();
                return Body::from_stream(nothing).into_response();
            }
            let items = objects(&request.group, &request.resource);
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
            Json(list).into_response()
        }
        (Method::GET, Some(_)) => {
            server.note(&request, "get", named);
            let made = server.made.lock().unwrap().get(uri.path()).cloned();
            let there = objects(&request.group, &request.resource).into_iter().next();
            match made.or(there) {
                Some(object) => Json(object).into_response(),
                None => missing().into_response(),
            }
        }
        (Method::POST, _) => {
            server.note(&request, "create", None);
            let name = body["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{}/{name}", uri.path());
            server.made.lock().unwrap().insert(path, body.clone());
            (StatusCode::CREATED, Json(body)).into_response()
        }
        (Method::PUT, _) => {
            server.note(&request, "update", named);
            Json(body).into_response()
        }
        (Method::PATCH, _) => {
            server.note(&request, "patch", named.clone());
            let content_type = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let is_apply = content_type.is_some_and(|kind| kind.contains("apply-patch"));
            if is_apply && request.sub_resource.is_none() {
                server.note(&request, "create", named);
            }
            Json(body).into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// Of a pilot with these flags, as this manifest allows it.
async fn compare(manifest: &str, flags: &[&str]) {
    let server = ApiServer::default();
    let app = Router::new().fallback(answer).with_state(server.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let pilot = Pilot::start(listener.local_addr().unwrap(), flags);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let allowed = allowed(manifest);
    assert!(allowed.len() > 40, "{allowed:?}");
    let unused = || -> Vec<Right> {
        let asked = server.asked.lock().unwrap();
        let is_unused = |right: &&Right| !asked.iter().any(|one| right.allows(one));
        let unused = allowed.iter().filter(is_unused);
        unused.filter(|right| !right.is_by_others()).cloned().collect()
    };
    let all_used = async {
        while !unused().is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let all_used = tokio::time::timeout(2 * DEADLINE, all_used).await;
    assert!(all_used.is_ok(), "never asked for: {:#?}\n{}", unused(), pilot.process.log());
    let asked = server.asked.lock().unwrap();
    let refused: Vec<_> =
        asked.iter().filter(|asked| !allowed.iter().any(|right| right.allows(asked))).collect();
    assert!(refused.is_empty(), "not allowed: {refused:#?}");
}

#[tokio::test]
async fn the_pilot_may_do_what_it_does_and_no_more() {
    compare("default.yaml", &[]).await;
}

#[tokio::test]
async fn beside_istio_it_leaves_the_status_of_istios_kinds_alone() {
    compare("beside-istio.yaml", &["--beside-istio"]).await;
}
