//! A mesh-pilot on Kubernetes, whose API server is a stub or not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use mesh_testkit::{Process, eventually_async, free_ports};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::pilot::page;

const NAMESPACE: &str = "/api/v1/namespaces/mesh-system";

struct Pilot {
    process: Process,
    http: SocketAddr,
    api_server: SocketAddr,
    _folder: TempDir,
}

impl Pilot {
    /// Without an API server; where one is to be.
    async fn start() -> Self {
        let addresses = free_ports().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let [api_server, secure, http, webhook, api] = addresses;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": format!("http://{api_server}")}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        });
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-pilot"));
        command.env("KUBECONFIG", file).args(["--platform", "kubernetes"]);
        for (flag, address) in [
            ("--secure-address", secure),
            ("--http-address", http),
            ("--webhook-address", webhook),
            ("--api-address", api),
        ] {
            command.args([flag, &address.to_string()]);
        }
        let process = Process::start("mesh-pilot", &mut command);
        let pilot = Self { process, http, api_server, _folder: folder };
        eventually_async("it to wait for its root", async || {
            let (status, body) = page(http, "/ready").await?;
            (status == 503 && body.contains("a root that every pod has")).then_some(())
        })
        .await;
        pilot
    }
}

/// One that keeps a root, and has nothing else.
fn api_server() -> Router {
    let missing = || async {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "NotFound", "message": "not found", "code": 404});
        (StatusCode::NOT_FOUND, Json(status))
    };
    let created = async |Json(object): Json<Value>| (StatusCode::CREATED, Json(object));
    let version = json!({"major": "1", "minor": "34", "gitVersion": "v1.34.2", "gitCommit": "",
        "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    Router::new()
        .route(&format!("{NAMESPACE}/secrets"), post(created))
        .route("/version", get(async || Json(version)))
        .fallback(missing)
}

#[tokio::test]
async fn an_api_server_is_waited_for_by_a_pilot_that_lives() {
    let pilot = Pilot::start().await;
    assert_eq!(page(pilot.http, "/live").await.unwrap().0, 200);
    assert!(pilot.process.log().contains("trying again"), "{}", pilot.process.log());
    let listener = TcpListener::bind(pilot.api_server).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, api_server()).await });
    eventually_async("it to be ready", async || {
        (page(pilot.http, "/ready").await?.0 == 200).then_some(())
    })
    .await;
    let metrics = page(pilot.http, "/metrics").await.unwrap().1;
    assert!(metrics.contains("citadel_server_root_cert_expiry_timestamp"), "{metrics}");
}

#[tokio::test]
async fn it_ends_meanwhile_when_it_is_told_to() {
    let mut pilot = Pilot::start().await;
    pilot.process.terminate();
    assert!(pilot.process.wait().success(), "{}", pilot.process.log());
}
