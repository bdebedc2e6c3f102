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

const STORE: &str = "sidecar~10.244.3.3~store-0.default~default.svc.cluster.local";
const STORE_6: &str = "sidecar~fd00:3::3~store-0.default~default.svc.cluster.local";
/// The addresses of a pod of the store in a cluster of both families.
const BOTH: &str = "10.244.3.3,fd00:3::3";
const GATEWAY: &str =
    "router~10.244.0.8~mesh-ingressgateway-0.mesh-system~mesh-system.svc.cluster.local";
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

#[tokio::test]
async fn other_names_of_services() {
    effect("alias", &[golden("alias")]).await;
}

#[tokio::test]
async fn bookinfo_by_a_gateway() {
    let inputs = [golden("bookinfo"), golden("gateway"), sample("bookinfo-gateway")];
    let snapshot = snapshot(&inputs, plain()).await;
    compare("gateway", written(&translate(&snapshot, &proxy(GATEWAY))));
}

#[tokio::test]
async fn every_field_of_a_gateway() {
    let inputs = [golden("bookinfo"), golden("gateway"), golden("gateway-everything")];
    let snapshot = snapshot(&inputs, MeshConfig::default()).await;
    compare("gateway-everything", written(&translate(&snapshot, &proxy(GATEWAY))));
}

#[tokio::test]
async fn every_field_of_an_http_route() {
    effect("http-route", &[golden("http-route")]).await;
}

#[tokio::test]
async fn http_routes_of_a_gateway() {
    let inputs = [golden("bookinfo"), golden("http-route-gateway")];
    let snapshot = snapshot(&inputs, plain()).await;
    let edge = "router~10.244.0.9~edge-mesh-0.default~default.svc.cluster.local";
    compare("http-route-gateway", written(&translate(&snapshot, &proxy(edge))));
}

#[tokio::test]
async fn a_gateway_concerns_no_sidecar() {
    let inputs = [golden("gateway"), sample("bookinfo-gateway")];
    let with = [golden("bookinfo")].into_iter().chain(inputs.clone()).collect::<Vec<_>>();
    let without = [golden("bookinfo"), golden("gateway")];
    let with = translate(&*snapshot(&with, plain()).await, &proxy(PRODUCTPAGE));
    let without = translate(&*snapshot(&without, plain()).await, &proxy(PRODUCTPAGE));
    assert_eq!(with, without);
}

#[tokio::test]
async fn mutual_tls_without_rules() {
    let snapshot = snapshot(&[golden("mtls")], MeshConfig::default()).await;
    compare("mtls", written(&translate(&snapshot, &proxy(STORE))));
}

#[tokio::test]
async fn bookinfo_strict() {
    let rules = [sample("peer-authentication-strict")];
    let details = "sidecar~10.244.0.2~details-v1-0.default~default.svc.cluster.local";
    difference("strict", "bookinfo", &rules, MeshConfig::default(), details).await;
}

#[tokio::test]
async fn strict_in_the_mesh() {
    mtls_effect("mtls-strict").await;
}

#[tokio::test]
async fn disabled_in_a_namespace() {
    mtls_effect("mtls-disable").await;
}

#[tokio::test]
async fn modes_of_ports() {
    mtls_effect("mtls-port-level").await;
}

#[tokio::test]
async fn tls_of_destination_rules() {
    mtls_effect("mtls-destination-rules").await;
}

/// What a sidecar is told whose pod has both families, and else is not.
#[tokio::test]
async fn a_pod_of_both_families() {
    let snapshot = snapshot(&[golden("mtls")], MeshConfig::default()).await;
    let [one, both] =
        ["", BOTH].map(|addresses| written(&translate(&snapshot, &proxy_of(STORE, addresses))));
    compare("both-families", without(both, &one));
}

#[tokio::test]
async fn a_cluster_of_both_families() {
    let snapshot = snapshot(&[golden("dual-stack")], plain()).await;
    compare("dual-stack", written(&translate(&snapshot, &proxy_of(STORE, BOTH))));
}

#[tokio::test]
async fn a_cluster_of_ipv6_alone() {
    whole("ipv6", &["ipv6"], STORE_6).await;
}

/// What mutual TLS and IPv6 make of a sidecar is right for both proxies.
#[tokio::test]
async fn proxies_accept_each_mode_and_family() {
    let Some(envoy) = mesh_testkit::envoy::binary() else { return };
    let proxies = [mesh_testkit::binary::binary("mesh-proxy"), envoy];
    let cases: [(&[&str], _); 6] = [
        (&["mtls", "mtls-strict"], proxy(STORE)),
        (&["mtls", "mtls-disable"], proxy(STORE)),
        (&["mtls", "mtls-port-level"], proxy(STORE)),
        (&["mtls", "mtls-destination-rules"], proxy(STORE)),
        (&["dual-stack"], proxy_of(STORE, BOTH)),
        (&["ipv6"], proxy(STORE_6)),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (names, sidecar) in cases {
        let inputs: Vec<_> = names.iter().map(|name| golden(name)).collect();
        let snapshot = snapshot(&inputs, MeshConfig::default()).await;
        let mut resources = translate(&snapshot, &sidecar);
        for cluster in &mut resources.clusters {
            // Files that only the user's own sidecars have.
            cluster.transport_socket.take_if(|_| cluster.name.contains("store."));
        }
        let file = folder.path().join(format!("{}.json", names.concat()));
        std::fs::write(&file, bootstrap(&resources).to_string()).unwrap();
        for proxy in &proxies {
            let mut command = std::process::Command::new(proxy);
            let arguments = ["--mode", "validate", "--log-level", "warning", "--config-path"];
            let output = command.args(arguments).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{names:?}, {}: {said}", proxy.display());
        }
    }
}

/// The resources of one sidecar as a file for Envoy, with the clusters of its bootstrap.
fn bootstrap(resources: &Resources) -> Value {
    let mut written = written(resources);
    let http2 = serde_json::json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    });
    let clusters = written["clusters"].as_array_mut().unwrap();
    for name in ["xds-grpc", "sds-grpc"] {
        let endpoint = serde_json::json!({"endpoint": {"address": {"pipe": {"path": "/none"}}}});
        clusters.push(serde_json::json!({
            "name": name,
            "type": "STATIC",
            "typed_extension_protocol_options": http2,
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        }));
    }
    serde_json::json!({
        "node": {"id": STORE, "cluster": "store.default"},
        "dynamic_resources": {"ads_config": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
        }},
        "static_resources": {
            "clusters": written["clusters"],
            "listeners": written["listeners"],
        },
    })
}

/// Compares all resources.
async fn whole(name: &str, inputs: &[&str], node: &str) {
    let inputs: Vec<_> = inputs.iter().map(|input| golden(input)).collect();
    let snapshot = snapshot(&inputs, plain()).await;
    compare(name, written(&translate(&snapshot, &proxy(node))));
}

/// Compares what rules change in bookinfo.
async fn effect(name: &str, rules: &[PathBuf]) {
    difference(name, "bookinfo", rules, plain(), PRODUCTPAGE).await;
}

/// Compares what its rules change in the mesh of `mtls`.
async fn mtls_effect(name: &str) {
    difference(name, "mtls", &[golden(name)], MeshConfig::default(), STORE).await;
}

/// Without mutual TLS, so that what rules do is not lost among certificates.
fn plain() -> MeshConfig {
    MeshConfig { auto_mtls: false, ..MeshConfig::default() }
}

async fn difference(name: &str, base: &str, rules: &[PathBuf], mesh: MeshConfig, node: &str) {
    let inputs: Vec<_> = [golden(base)].into_iter().chain(rules.iter().cloned()).collect();
    let changed = snapshot(&inputs, mesh.clone()).await;
    let base = snapshot(&[golden(base)], mesh).await;
    let proxy = proxy(node);
    let base = written(&translate(&base, &proxy));
    compare(name, without(written(&translate(&changed, &proxy)), &base));
}

/// The resources that are not among the others.
fn without(mut resources: Map<String, Value>, known: &Map<String, Value>) -> Map<String, Value> {
    for (kind, resources) in &mut resources {
        let known = known[kind].as_array().unwrap();
        resources.as_array_mut().unwrap().retain(|resource| !known.contains(resource));
    }
    resources
}

/// The folder's last snapshot, after making sure that nothing of it was refused.
async fn snapshot(inputs: &[PathBuf], mesh: MeshConfig) -> Arc<Snapshot> {
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
    let adapter = FilesAdapter::start(folder.path(), mesh).await.unwrap();
    assert_eq!(adapter.problems(), []);
    adapter.snapshots().borrow().clone()
}

fn proxy(node: &str) -> Proxy {
    proxy_of(node, "")
}

/// A proxy that says that its pod has these addresses.
fn proxy_of(node: &str, addresses: &str) -> Proxy {
    let kind = Some(prost_types::value::Kind::StringValue(addresses.to_owned()));
    let fields = [("INSTANCE_IPS".to_owned(), prost_types::Value { kind })].into();
    let id = node.to_owned();
    let metadata = Some(prost_types::Struct { fields });
    let node = mesh_proto::envoy::config::core::v3::Node { id, metadata, ..Default::default() };
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
