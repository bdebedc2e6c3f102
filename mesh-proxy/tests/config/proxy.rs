//! A proxy whose admin pages can be asked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use http::Request;
use http_body_util::Full;
use mesh_testkit::client::{Answer, Client, get};
use mesh_testkit::{Process, eventually_async};
use serde_json::Value;
use tempfile::TempDir;

/// A bootstrap file in a folder of its own.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bootstrap.yaml");
        std::fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
    command.args(args);
    command
}

/// The proxy with a file, whose admin pages are on `admin`.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    admin: SocketAddr,
    _file: File,
}

impl Proxy {
    pub(crate) fn start(text: &str, admin: SocketAddr) -> Self {
        Self::start_with(&["--concurrency", "2"], text, admin)
    }

    pub(crate) fn start_with(flags: &[&str], text: &str, admin: SocketAddr) -> Self {
        let file = File::new(text);
        let mut command = command(flags);
        command.arg("-c");
        command.arg(&file.path);
        Self { process: Process::start("mesh-proxy", &mut command), admin, _file: file }
    }

    pub(crate) async fn wait_until_ready(&self) {
        wait_until_ready(self.admin).await;
    }

    /// A page that changes something: its status and text.
    pub(crate) async fn post(&self, path: &str) -> (u16, String) {
        let request = Request::post(path).header("host", "admin").body(Full::default()).unwrap();
        let mut client = Client::http1(self.admin).await.unwrap();
        let answer = client.send(request).await.unwrap();
        (answer.status.as_u16(), answer.text())
    }

    pub(crate) async fn page(&self, path: &str) -> Answer {
        get(self.admin, "admin", path).await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.page(path).await.text()
    }

    /// Waits until a page has this line.
    pub(crate) async fn until_line(&self, path: &str, line: &str) {
        eventually_async(&format!("{line} in {path}"), async || {
            self.text(path).await.lines().any(|found| found == line).then_some(())
        })
        .await;
    }

    /// A part of `/config_dump`, by its type.
    pub(crate) async fn dump(&self, name: &str) -> Value {
        let dump = self.page("/config_dump?include_eds").await.json();
        let configs = dump["configs"].as_array().unwrap();
        let kind = format!("type.googleapis.com/envoy.admin.v3.{name}");
        let found = configs.iter().find(|config| config["@type"] == kind.as_str());
        found.unwrap_or_else(|| panic!("no {name} in {dump}")).clone()
    }
}

/// Works for Envoy too.
pub(crate) async fn wait_until_ready(admin: SocketAddr) {
    eventually_async("LIVE", async || {
        let answer = get(admin, "admin", "/ready").await.ok()?;
        (answer.text() == "LIVE\n").then_some(())
    })
    .await;
}
