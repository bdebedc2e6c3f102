//! A folder of YAML in, the resources of one sidecar out, compared with the files in
//! `tests/golden`. `UPDATE_GOLDEN=1` writes them anew; read the difference before you
//! commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_pilot::platform::{FilesAdapter, MeshConfig, PlatformAdapter};
use mesh_pilot::translate::{Proxy, Resources, translate};
use mesh_proto::envoy::service::discovery::v3::DiscoveryResponse;
use mesh_proto::{any, text};
use serde_json::{Map, Value};

const PRODUCTPAGE: &str = "sidecar~10.244.0.7~productpage-v1-0.default~default.svc.cluster.local";

#[tokio::test]
async fn bookinfo_without_rules() {
    whole("bookinfo", &["bookinfo"], PRODUCTPAGE).await;
}

#[tokio::test]
async fn bookinfo_all_v1() {
    let inputs = [sample("destination-rule-all"), sample("virtual-service-all-v1")];
    effect("all-v1", &inputs).await;
}

#[tokio::test]
async fn bookinfo_reviews_50_v3() {
    let inputs = [sample("destination-rule-all"), sample("virtual-service-reviews-50-v3")];
    effect("reviews-50-v3", &inputs).await;
}

#[tokio::test]
async fn bookinfo_reviews_test_v2() {
    let inputs = [sample("destination-rule-all"), sample("virtual-service-reviews-test-v2")];
    effect("reviews-test-v2", &inputs).await;
}

#[tokio::test]
async fn every_field_of_a_route() {
    effect("everything", &[golden("everything")]).await;
}

#[tokio::test]
async fn a_subset_without_endpoints() {
    effect("empty-subset", &[golden("empty-subset")]).await;
}

#[tokio::test]
async fn tcp_and_grpc() {
    whole("tcp", &["tcp"], "sidecar~10.244.1.2~store-0.default~default.svc.cluster.local").await;
}

#[tokio::test]
async fn headless_and_without_endpoints() {
    whole("headless", &["headless"], "sidecar~10.244.2.2~web-0.default~default.svc.cluster.local")
        .await;
}

/// Compares all resources.
async fn whole(name: &str, inputs: &[&str], node: &str) {
    let inputs: Vec<_> = inputs.iter().map(|input| golden(input)).collect();
    let snapshot = snapshot(&inputs).await;
    compare(name, written(&translate(&snapshot, &proxy(node))));
}

/// Compares what rules change in bookinfo.
async fn effect(name: &str, rules: &[PathBuf]) {
    let base = snapshot(&[golden("bookinfo")]).await;
    let inputs: Vec<_> = [golden("bookinfo")].into_iter().chain(rules.iter().cloned()).collect();
    let changed = snapshot(&inputs).await;
    let proxy = proxy(PRODUCTPAGE);
    let base = written(&translate(&base, &proxy));
    let mut difference = written(&translate(&changed, &proxy));
    for (kind, resources) in &mut difference {
        let known = base[kind].as_array().unwrap();
        resources.as_array_mut().unwrap().retain(|resource| !known.contains(resource));
    }
    compare(name, difference);
}

/// The folder's last snapshot, after making sure that nothing of it was refused.
async fn snapshot(inputs: &[PathBuf]) -> Arc<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    for input in inputs {
        let files = match input.is_dir() {
            true => std::fs::read_dir(input).unwrap().map(|entry| entry.unwrap().path()).collect(),
            false => vec![input.clone()],
        };
        for file in files.iter().filter(|file| file.file_name().unwrap() != "expected.yaml") {
            std::fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let adapter = FilesAdapter::start(folder.path(), MeshConfig::default()).await.unwrap();
    assert_eq!(adapter.problems(), []);
    adapter.snapshots().borrow().clone()
}

fn proxy(node: &str) -> Proxy {
    let id = node.to_owned();
    let node = mesh_proto::envoy::config::core::v3::Node { id, ..Default::default() };
    Proxy::from_node(&node).unwrap()
}

/// By kind, as trees. All in one message: to write one as text costs a moment each time.
fn written(resources: &Resources) -> Map<String, Value> {
    let Resources { clusters, endpoints, listeners, routes } = resources;
    let kinds = [
        ("clusters", packed(clusters)),
        ("endpoints", packed(endpoints)),
        ("listeners", packed(listeners)),
        ("routes", packed(routes)),
    ];
    let all = kinds.iter().flat_map(|(_, messages)| messages.clone()).collect();
    let response = DiscoveryResponse { resources: all, ..Default::default() };
    let mut texts = match text::to_json(&response).unwrap()["resources"].take() {
        Value::Array(texts) => texts.into_iter(),
        other => panic!("{other}"),
    };
    let mut by_kind = Map::new();
    for (kind, messages) in kinds {
        let mut own: Vec<Value> = texts.by_ref().take(messages.len()).collect();
        for text in own.iter_mut().filter_map(Value::as_object_mut) {
            text.shift_remove("@type");
        }
        by_kind.insert(kind.to_owned(), own.into());
    }
    by_kind
}

fn packed<M: prost::Message + prost::Name>(messages: &[M]) -> Vec<prost_types::Any> {
    messages.iter().map(any::pack).collect()
}

fn compare(name: &str, resources: Map<String, Value>) {
    let found = mesh_yaml::write(&Value::Object(resources)).unwrap();
    let path = golden(name).join("expected.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden(name)).unwrap();
        std::fs::write(&path, &found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (expected, found))) =
        expected.lines().zip(found.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        panic!(
            "{}:{}: expected \"{expected}\", found \"{found}\"; UPDATE_GOLDEN=1 writes it anew",
            path.display(),
            number + 1
        );
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "{}", path.display());
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn sample(name: &str) -> PathBuf {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/bookinfo/rules");
    samples.join(format!("{name}.yaml"))
}
