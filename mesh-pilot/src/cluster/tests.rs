//! What a real API server cannot be made to do, against a stub that does it.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::watcher::Config;
use mesh_testkit::DEADLINE;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{Delta, Source, Unwatched, client_of, follow};

/// One request for pods, which the test answers.
struct Asked {
    /// The parameters of its URL.
    query: Value,
    answer: oneshot::Sender<Response>,
}

impl Asked {
    fn is_watch(&self) -> bool {
        self.query["watch"] == "true" || self.query["watch"] == "1"
    }

    fn text(&self, parameter: &str) -> &str {
        self.query[parameter].as_str().unwrap_or_default()
    }

    /// A list, and where the rest of it is.
    fn list(self, version: &str, names: &[&str], rest: &str) {
        let items: Vec<_> = names.iter().map(|name| pod(name, version)).collect();
        let metadata = json!({"resourceVersion": version, "continue": rest});
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata,
            "items": items});
        self.answer.send(Json(list).into_response()).unwrap();
    }

    fn refuse(self, code: u16, message: &str) {
        let code = StatusCode::from_u16(code).unwrap();
        self.answer.send((code, Json(status(code.as_u16(), message))).into_response()).unwrap();
    }

    /// A watch, which is cut when the sender is dropped.
    fn watch(self) -> Events {
        let (sender, events) = mpsc::channel::<Bytes>(8);
        let events = ReceiverStream::new(events).map(Ok::<_, std::io::Error>);
        self.answer.send(Body::from_stream(events).into_response()).unwrap();
        Events(sender)
    }
}

struct Events(mpsc::Sender<Bytes>);

impl Events {
    async fn send(&self, what: &str, object: Value) {
        let line = format!("{}\n", json!({"type": what, "object": object}));
        self.0.send(line.into()).await.unwrap();
    }
}

fn pod(name: &str, version: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "shop",
        "resourceVersion": version}})
}

fn status(code: u16, message: &str) -> Value {
    let reason = if code == 403 { "Forbidden" } else { "Expired" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": message})
}

/// What was told.
#[derive(Debug)]
enum Told {
    Delta(Delta<()>),
    Watch(Unwatched),
}

impl From<Unwatched> for Told {
    fn from(unwatched: Unwatched) -> Self {
        Self::Watch(unwatched)
    }
}

/// A watch of pods, and the API server that it watches.
struct Stage {
    asked: mpsc::Receiver<Asked>,
    told: mpsc::Receiver<Told>,
}

impl Stage {
    async fn start() -> Self {
        let (sender, asked) = mpsc::channel(1);
        let answer = async |State(sender): State<mpsc::Sender<Asked>>,
                            Query(query): Query<Value>| {
            let (answer, answered) = oneshot::channel();
            sender.send(Asked { query, answer }).await.unwrap();
            answered.await.unwrap()
        };
        let client = client_of(Router::new().route("/api/v1/pods", get(answer)).with_state(sender));
        let pods: Api<Pod> = Api::all(client.await);
        let source = Source {
            name: "pods".to_owned(),
            versions: vec![pods.clone(), pods],
            config: Config::default(),
        };
        let (sender, told) = mpsc::channel(8);
        tokio::spawn(follow(source, sender, |_: Pod| (), Told::Delta));
        Self { asked, told }
    }

    async fn asked(&mut self) -> Asked {
        let asked = timeout(DEADLINE, self.asked.recv());
        asked.await.expect("a request").unwrap()
    }

    /// As text: what, and of which pods.
    async fn told(&mut self) -> String {
        let told = timeout(DEADLINE, self.told.recv());
        match told.await.expect("news").unwrap() {
            Told::Delta(Delta::All(all)) => {
                let names: Vec<_> = all.keys().map(|name| name.name.as_str()).collect();
                format!("all: {}", names.join(" "))
            }
            Told::Delta(Delta::Set(name, ())) => format!("set: {}", name.name),
            Told::Delta(Delta::Gone(name)) => format!("gone: {}", name.name),
            Told::Watch(Unwatched { problem, .. }) => problem.unwrap_or_else(|| "works".to_owned()),
        }
    }
}

/// Two pods were listed at version 5, and are watched.
async fn watched() -> (Stage, Events) {
    let mut stage = Stage::start().await;
    stage.asked().await.list("5", &["a", "b"], "");
    assert_eq!(stage.told().await, "all: a b");
    let asked = stage.asked().await;
    assert!(asked.is_watch() && asked.text("resourceVersion") == "5", "{}", asked.query);
    (stage, asked.watch())
}

#[tokio::test]
async fn a_watch_that_was_cut_goes_on_where_it_was() {
    let (mut stage, events) = watched().await;
    events.send("ADDED", pod("c", "6")).await;
    assert_eq!(stage.told().await, "set: c");
    events.send("BOOKMARK", pod("", "8")).await;
    drop(events);
    let asked = stage.asked().await;
    assert!(asked.is_watch() && asked.text("resourceVersion") == "8", "{}", asked.query);
    let events = asked.watch();
    events.send("DELETED", pod("a", "9")).await;
    assert_eq!(stage.told().await, "gone: a");
    // A connection that breaks in the middle of a line.
    events.0.send(Bytes::from_static(b"{\"type\": \"ADD")).await.unwrap();
    drop(events);
    let asked = stage.asked().await;
    assert!(asked.is_watch() && asked.text("resourceVersion") == "9", "{}", asked.query);
}

/// The rest of a list is still to come: nobody may take what is there for all.
async fn relisted(stage: &mut Stage) {
    let asked = stage.asked().await;
    assert!(!asked.is_watch() && asked.text("continue").is_empty(), "{}", asked.query);
    asked.list("9", &["b"], "more");
    let asked = stage.asked().await;
    assert_eq!(asked.text("continue"), "more");
    assert!(stage.told.try_recv().is_err(), "half a list was told");
    asked.list("9", &["d"], "");
    assert_eq!(stage.told().await, "all: b d");
    let asked = stage.asked().await;
    assert!(asked.is_watch() && asked.text("resourceVersion") == "9", "{}", asked.query);
}

#[tokio::test]
async fn what_the_api_server_has_forgotten_is_listed_anew_and_told_as_a_whole() {
    let (mut stage, events) = watched().await;
    events.send("ERROR", status(410, "too old resource version")).await;
    relisted(&mut stage).await;
}

#[tokio::test]
async fn so_it_is_when_that_is_said_before_the_watch_begins() {
    let (mut stage, events) = watched().await;
    drop(events);
    stage.asked().await.refuse(410, "too old resource version");
    relisted(&mut stage).await;
}

#[tokio::test]
async fn a_missing_right_is_named_and_its_coming_noticed() {
    let (mut stage, events) = watched().await;
    drop(events);
    let message = "pods is forbidden: User \"pilot\" cannot watch resource \"pods\"";
    for _ in 0..3 {
        stage.asked().await.refuse(403, message);
    }
    assert_eq!(stage.told().await, format!("pods cannot be watched: {message}"));
    let asked = stage.asked().await;
    assert!(stage.told.try_recv().is_err(), "said once");
    assert!(asked.is_watch() && asked.text("resourceVersion") == "5", "{}", asked.query);
    let events = asked.watch();
    events.send("MODIFIED", pod("a", "7")).await;
    assert_eq!(stage.told().await, "works");
    assert_eq!(stage.told().await, "set: a");
}

#[tokio::test]
async fn a_kind_that_is_not_there_is_empty_and_waited_for() {
    let mut stage = Stage::start().await;
    for _version in 0..2 {
        stage.asked().await.refuse(404, "the server could not find the requested resource");
    }
    assert_eq!(stage.told().await, "all: ");
    stage.asked().await.list("5", &["a"], "");
    assert_eq!(stage.told().await, "all: a");
}
