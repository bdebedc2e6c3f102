//! Installations on good and on bad days, against a stub of an API server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod api_server;
mod install;
mod uninstall;
mod upgrade;

use std::time::Duration;

use mesh_install::chart::{NAMESPACE, Release};
use mesh_install::{Event, Events, InstallError, Settings};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use api_server::ApiServer;

fn release(values: Value) -> Release {
    Release {
        namespace: NAMESPACE.to_owned(),
        values: vec![json!({"createNamespace": true}), values],
    }
}

/// For what becomes ready at once, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);
/// For what never becomes ready.
const LITTLE_PATIENCE: Duration = Duration::from_millis(600);

/// Installs; gives what happened.
async fn install(server: &ApiServer, values: Value) -> (Result<(), InstallError>, Vec<Event>) {
    install_within(server, values, PATIENCE, PATIENCE).await
}

async fn install_within(
    server: &ApiServer,
    values: Value,
    timeout: Duration,
    grace: Duration,
) -> (Result<(), InstallError>, Vec<Event>) {
    let settings = Settings { release: release(values), timeout, grace };
    let (sender, mut receiver) = unbounded_channel();
    let events = Events::new(sender);
    let done = mesh_install::install(&server.client(), &settings, &events).await;
    drop(events);
    let mut told = Vec::new();
    while let Some(event) = receiver.recv().await {
        told.push(event);
    }
    (done, told)
}

/// Who owns a deployment's or another's pods.
fn owner(kind: &str, name: &str) -> Value {
    json!([{
        "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": true,
    }])
}

/// Events that nobody reads.
fn nobody() -> Events {
    Events::new(unbounded_channel().0)
}
