//! As much of an API server as an installation needs: it keeps objects, and what becomes ready
//! in a cluster is ready at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// What is different on a bad day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Day {
    /// The write of this number fails, counted from 0.
    pub(crate) fails_at: Option<usize>,
    /// Every review of rights says no, and every write is forbidden.
    pub(crate) forbids: bool,
    /// Workloads of this name get no ready pod.
    pub(crate) stuck: Option<&'static str>,
    /// Whose pods a quota refuses.
    pub(crate) refused: Option<&'static str>,
    /// Another minor version than 34.
    pub(crate) minor: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<Key, Value>,
    version: u64,
    writes: Vec<String>,
    day: Day,
}

#[derive(Clone)]
pub(crate) struct ApiServer {
    inner: Arc<Mutex<Inner>>,
    address: String,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let inner = Arc::<Mutex<Inner>>::default();
        let app = Router::new().fallback(answer).with_state(inner.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { inner, address }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let config = kube::Config::new(self.address.parse().unwrap());
        kube::Client::try_from(config).unwrap()
    }

    pub(crate) fn day(&self, day: Day) {
        let mut inner = self.inner.lock().unwrap();
        inner.writes.clear();
        inner.day = day;
    }

    /// Puts something there that we have not installed.
    pub(crate) fn put(&self, plural: &str, object: Value) {
        self.inner.lock().unwrap().store(plural, object);
    }

    pub(crate) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let inner = self.inner.lock().unwrap();
        let mut found = inner.objects.iter();
        found
            .find(|(key, _)| key.plural == plural && key.name == name)
            .map(|(_, object)| object.clone())
    }

    /// As somebody else would.
    pub(crate) fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let key = Key {
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.inner.lock().unwrap().objects.remove(&key);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        inner.objects.keys().map(|key| format!("{}/{}", key.plural, key.name)).collect()
    }

    /// `plural/name` of what was written, in order.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.inner.lock().unwrap().writes.clone()
    }
}

impl Inner {
    fn store(&mut self, plural: &str, mut object: Value) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        let key = Key { plural: plural.to_owned(), namespace, name };
        become_ready(plural, &mut object, &self.day);
        let old = self.objects.get(&key);
        if old.is_some_and(|old| same(old, &object)) {
            return old.cloned().unwrap_or_default();
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key.clone(), object.clone());
        if plural == "deployments" && key.name.starts_with("mesh-pilot") {
            self.lead(&key);
        }
        object
    }

    /// What a pilot makes.
    fn lead(&mut self, pilot: &Key) {
        let named = |name: &str| json!({"metadata": {"name": name, "namespace": pilot.namespace}});
        for (plural, name) in [
            ("configmaps", "mesh-ca-root-cert".to_owned()),
            ("secrets", "mesh-ca-secret".to_owned()),
            ("leases", format!("{}-leader", pilot.name)),
        ] {
            self.store(plural, named(&name));
        }
    }
}

/// All but the version.
fn same(old: &Value, new: &Value) -> bool {
    let without = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = Value::Null;
        object
    };
    without(old) == without(new)
}

fn become_ready(plural: &str, object: &mut Value, day: &Day) {
    match plural {
        "customresourcedefinitions" => {
            object["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        }
        "deployments" | "statefulsets" => {
            let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
            let is = |name: Option<&str>| name.is_some_and(|it| object["metadata"]["name"] == it);
            let is_refused = is(day.refused);
            let available = if is(day.stuck) || is_refused { 0 } else { replicas };
            object["metadata"]["generation"] = json!(1);
            object["status"] = json!({
                "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas,
                "availableReplicas": available,
            });
            if is_refused {
                object["status"]["conditions"] = json!([{
                    "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small",
                }]);
            }
        }
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => {
            for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
                webhook["clientConfig"]["caBundle"] = json!("cm9vdA==");
            }
        }
        _ => {}
    }
}

type Answer = (StatusCode, Json<Value>);

fn failure(code: StatusCode, message: &str) -> Answer {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "" };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16()});
    (code, Json(status))
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Answer {
    let mut inner = inner.lock().unwrap();
    if uri.path() == "/version" {
        let minor = inner.day.minor.unwrap_or("34");
        let mut version =
            json!({"major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.0")});
        for field in ["gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"]
        {
            version[field] = json!("");
        }
        return (StatusCode::OK, Json(version));
    }
    let (mut key, is_collection) = key(uri.path());
    let query = uri.query().unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if key.plural == "selfsubjectaccessreviews" {
        let mut review = body;
        review["status"] = json!({"allowed": !inner.day.forbids});
        return (StatusCode::CREATED, Json(review));
    }
    if method == Method::GET && is_collection {
        return list(&inner, &key, query);
    }
    if method == Method::GET {
        return match inner.objects.get(&key) {
            Some(object) => (StatusCode::OK, Json(object.clone())),
            None => failure(StatusCode::NOT_FOUND, "not found"),
        };
    }
    let dry_run = query.contains("dryRun");
    if inner.day.forbids {
        return failure(StatusCode::FORBIDDEN, "somebody cannot patch this");
    }
    if !dry_run {
        if inner.day.fails_at == Some(inner.writes.len()) {
            inner.day.fails_at = None;
            return failure(StatusCode::INTERNAL_SERVER_ERROR, "the power went out");
        }
        inner.writes.push(format!("{}/{}", key.plural, key.name));
    }
    match method {
        Method::PATCH => {
            let mut object = inner.objects.get(&key).cloned().unwrap_or_else(|| json!({}));
            merge(&mut object, &body);
            if dry_run {
                become_ready(&key.plural, &mut object, &inner.day);
                return (StatusCode::OK, Json(object));
            }
            (StatusCode::OK, Json(inner.store(&key.plural, object)))
        }
        Method::DELETE => {
            let found = inner.objects.remove(&key);
            if key.plural == "namespaces" {
                key.namespace = key.name;
                inner.objects.retain(|other, _| other.namespace != key.namespace);
            }
            match found {
                Some(object) => (StatusCode::OK, Json(object)),
                None => failure(StatusCode::NOT_FOUND, "not found"),
            }
        }
        _ => failure(StatusCode::METHOD_NOT_ALLOWED, "the stub does not do this"),
    }
}

/// Of which object a path is; whether it is of all of a kind.
fn key(path: &str) -> (Key, bool) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let name = rest.get(1).copied().unwrap_or_default();
    let owned = str::to_owned;
    let key = Key { plural: owned(rest[0]), namespace: owned(namespace), name: owned(name) };
    (key, name.is_empty())
}

fn list(inner: &Inner, wanted: &Key, query: &str) -> Answer {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace("%3D", "="));
        found.map(|value| value.replace("%2C", ",").replace("%21", "!").replace("%2F", "/"))
    };
    let (labels, fields) = (value("labelSelector"), value("fieldSelector"));
    let fits = |(key, object): &(&Key, &Value)| {
        key.plural == wanted.plural
            && (wanted.namespace.is_empty() || key.namespace == wanted.namespace)
            && labels.as_ref().is_none_or(|labels| selects(labels, &object["metadata"]["labels"]))
            && fields.as_ref().is_none_or(|fields| has_fields(fields, object))
    };
    let items: Vec<_> = inner.objects.iter().filter(fits).map(|(_, object)| object).collect();
    (
        StatusCode::OK,
        Json(json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})),
    )
}

/// By paths such as `metadata.name`.
fn has_fields(selector: &str, object: &Value) -> bool {
    selector.split(',').filter_map(|part| part.split_once('=')).all(|(path, value)| {
        object.pointer(&format!("/{}", path.replace('.', "/"))).is_some_and(|is| is == value)
    })
}

fn selects(selector: &str, labels: &Value) -> bool {
    selector.split(',').filter(|part| !part.is_empty()).all(|part| {
        if let Some((name, value)) = part.split_once("!=") {
            return labels[name] != value;
        }
        match part.split_once('=') {
            Some((name, value)) => labels[name] == value,
            None => labels[part].is_string(),
        }
    })
}

/// What is not named stays, as in server-side apply; lists of named things go by their names.
fn merge(object: &mut Value, over: &Value) {
    match (object, over) {
        (Value::Object(object), Value::Object(over)) => merge_maps(object, over),
        (Value::Array(items), Value::Array(over))
            if over.iter().all(|one| one["name"].is_string()) =>
        {
            let old = std::mem::take(items);
            for item in over {
                let before = old.iter().find(|one| one["name"] == item["name"]);
                let mut merged = before.cloned().unwrap_or_else(|| json!({}));
                merge(&mut merged, item);
                items.push(merged);
            }
        }
        (object, over) => *object = over.clone(),
    }
}

fn merge_maps(object: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        match value {
            Value::Null => drop(object.remove(name)),
            value => merge(object.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}
