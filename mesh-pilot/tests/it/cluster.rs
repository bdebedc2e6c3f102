//! A mesh-pilot on Kubernetes, whose API server is a stub or not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use mesh_testkit::{Process, eventually, eventually_async, free_ports};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::pilot::page;

const NAMESPACE: &str = "/api/v1/namespaces/mesh-system";

pub struct Pilot {
    pub process: Process,
    http: SocketAddr,
    _folder: TempDir,
}

impl Pilot {
    /// With these flags, and an API server that is, or is to be, at this address.
    pub fn start(api_server: SocketAddr, flags: &[&str]) -> Self {
        let addresses = free_ports().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let [secure, http, webhook, api] = addresses;
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
        command.env("KUBECONFIG", file).args(["--platform", "kubernetes"]).args(flags);
        for (flag, address) in [
            ("--secure-address", secure),
            ("--http-address", http),
            ("--webhook-address", webhook),
            ("--api-address", api),
        ] {
            command.args([flag, &address.to_string()]);
        }
        let process = Process::start("mesh-pilot", &mut command);
        Self { process, http, _folder: folder }
    }

    /// Without an API server; where one is to be.
    async fn waiting() -> (Self, SocketAddr) {
        let [port] = free_ports();
        let api_server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pilot = Self::start(api_server, &[]);
        eventually_async("it to wait for its root", async || {
            let (status, body) = page(pilot.http, "/ready").await?;
            (status == 503 && body.contains("a root that every pod has")).then_some(())
        })
        .await;
        (pilot, api_server)
    }
}

/// As the API server says that something is not there.
pub fn missing() -> (StatusCode, Json<Value>) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": "NotFound", "message": "not found", "code": 404});
    (StatusCode::NOT_FOUND, Json(status))
}

/// Of an API server.
pub fn version() -> Value {
    json!({"major": "1", "minor": "34", "gitVersion": "v1.34.2", "gitCommit": "",
        "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})
}

/// One that keeps a root, and has nothing else.
fn api_server() -> Router {
    let created = async |Json(object): Json<Value>| (StatusCode::CREATED, Json(object));
    Router::new()
        .route(&format!("{NAMESPACE}/secrets"), post(created))
        .route("/version", get(async || Json(version())))
        .fallback(async || missing())
}

#[tokio::test]
async fn an_api_server_is_waited_for_by_a_pilot_that_lives() {
    let (pilot, address) = Pilot::waiting().await;
    assert_eq!(page(pilot.http, "/live").await.unwrap().0, 200);
    eventually("a failed attempt", || pilot.process.log().contains("trying again").then_some(()));
    let listener = TcpListener::bind(address).await.unwrap();
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
    let (mut pilot, _) = Pilot::waiting().await;
    pilot.process.terminate();
    assert!(pilot.process.wait().success(), "{}", pilot.process.log());
}
