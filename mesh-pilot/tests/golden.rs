//! A folder of YAML in, the resources of one sidecar out, compared with the files in
//! `tests/golden`. `UPDATE_GOLDEN=1` writes them anew; read the difference before you
//! commit it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_pilot::platform::{FilesAdapter, PlatformAdapter};
use mesh_pilot::translate::{Proxy, Resources, translate};
use mesh_proto::text;
use serde_json::{Map, Value, json};

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
    let (base, changed) = (translate(&base, &proxy), translate(&changed, &proxy));
    let mut difference = Map::new();
    for (kind, resources) in written(&changed) {
        let known = written(&base)[&kind].as_array().unwrap().clone();
        let new = resources.as_array().unwrap().iter().filter(|resource| !known.contains(resource));
        difference.insert(kind, new.cloned().collect());
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
    let adapter = FilesAdapter::start(folder.path(), "cluster.local").await.unwrap();
    assert_eq!(adapter.problems(), []);
    adapter.snapshots().borrow().clone()
}

fn proxy(node: &str) -> Proxy {
    let id = node.to_owned();
    let node = mesh_proto::envoy::config::core::v3::Node { id, ..Default::default() };
    Proxy::from_node(&node).unwrap()
}

fn written(resources: &Resources) -> Map<String, Value> {
    fn all<M: prost::Message + prost::Name>(messages: &[M]) -> Value {
        messages.iter().map(|message| text::to_json(message).unwrap()).collect()
    }
    let Resources { clusters, endpoints, listeners, routes } = resources;
    let value = json!({
        "clusters": all(clusters),
        "endpoints": all(endpoints),
        "listeners": all(listeners),
        "routes": all(routes),
    });
    value.as_object().unwrap().clone()
}

fn compare(name: &str, resources: Map<String, Value>) {
    let found = serde_saphyr::to_string(&Value::Object(resources)).unwrap();
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
