//! The webhooks, asked as the API server asks.

use std::sync::Arc;

use k8s_openapi::ByteString;
use mesh_testkit::eventually_async;
use mesh_tls::{SanMatcher, TrustBundle, VERSIONS, client_config, server_verifier};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pilot::Pilot;

/// By which the API server asks for a Service.
const NAME: &str = "mesh-pilot.mesh-system.svc";
const JSON: &str = "application/json";

/// A POST over TLS without a certificate; status and body.
async fn post(pilot: &Pilot, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
    let roots = TrustBundle::read(&pilot.roots()).unwrap();
    let verifier = server_verifier(Some(&roots), &[SanMatcher::dns(NAME)]);
    let alpn = [b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = client_config(None, verifier, &alpn, VERSIONS).unwrap();
    let stream = TcpStream::connect(pilot.webhook).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(NAME.try_into().unwrap(), stream).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // One that is refused for its head need not be read to its end.
    let _ = stream.write_all(body).await;
    // What the socket had no room for is still here, and reading does not send it.
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn review(kind: (&str, &str), operation: &str, object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": kind.0, "version": "v1", "kind": kind.1},
        "resource": {"group": kind.0, "version": "v1", "resource": "any"},
        "namespace": "default", "operation": operation, "object": object,
        "oldObject": null, "dryRun": false, "options": null}})
}

/// The response to a question that is understood.
async fn ask(pilot: &Pilot, path: &str, review: &Value) -> Value {
    let (status, body) = post(pilot, path, JSON, review.to_string().as_bytes()).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

/// The object after the patch of an answer that allows it.
fn patched(mut object: Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    if let Some(patch) = response.get("patch") {
        assert_eq!(response["patchType"], "JSONPatch");
        let ByteString(patch) = serde_json::from_value(patch.clone()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
    }
    object
}

/// As a ReplicaSet makes it: without a name, and without a namespace of its own.
fn pod(annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-5d4f-", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "shop/web"}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pod_that_is_made_gets_its_sidecar() {
    let pilot = Pilot::start().await;
    let object = pod(&json!({}));
    let review_of = |operation| review(("", "Pod"), operation, &object);
    let response = ask(&pilot, "/inject", &review_of("CREATE")).await;
    let injected = mesh_inject::inject(object.clone(), &mesh_inject::Config::default()).unwrap();
    assert_eq!(patched(object.clone(), &response), injected.object);

    let again = ask(&pilot, "/inject", &review(("", "Pod"), "CREATE", &injected.object)).await;
    assert_eq!(patched(injected.object.clone(), &again), injected.object, "a second time");
    let update = ask(&pilot, "/inject", &review_of("UPDATE")).await;
    assert_eq!(patched(object.clone(), &update), object);
    assert!(update["warnings"][0].as_str().unwrap().contains("UPDATE of Pod"), "{update}");

    let wrong = pod(&json!({"sidecar.istio.io/inject": "maybe"}));
    let response = ask(&pilot, "/inject", &review(("", "Pod"), "CREATE", &wrong)).await;
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("sidecar.istio.io/inject"), "{message}");

    let metrics = pilot.page("/metrics").await.unwrap();
    for line in [
        "sidecar_injection_requests_total 4",
        "sidecar_injection_success_total 1",
        "sidecar_injection_skip_total 2",
        "sidecar_injection_failure_total 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_question_is_answered_in_words() {
    let pilot = Pilot::start().await;
    let good = review(("", "Pod"), "CREATE", &pod(&json!({}))).to_string();
    let old = good.replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    let without_uid = good.replace("705ab4f5-6393-11e8-b7cc-42010a800002", "");
    let deep =
        format!(r#"{{"apiVersion": "a", "kind": {}1{}}}"#, "[".repeat(9999), "]".repeat(9999));
    let empty = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#;
    for path in ["/inject", "/validate"] {
        for (content_type, body, status, words) in [
            ("text/plain", good.as_str(), 415, "expected application/json"),
            (JSON, "", 400, "no AdmissionReview"),
            (JSON, "[]", 400, "no AdmissionReview"),
            (JSON, "{", 400, "no AdmissionReview"),
            (JSON, &deep, 400, "no AdmissionReview"),
            (JSON, &old, 400, "expected AdmissionReview admission.k8s.io/v1"),
            (JSON, &without_uid, 400, "uid is empty"),
            (JSON, empty, 400, "has no request"),
            (JSON, &" ".repeat((8 << 20) + 1), 413, ""),
        ] {
            let (found, answer) = post(&pilot, path, content_type, body.as_bytes()).await;
            assert_eq!(found, status, "{path}: {answer}");
            assert!(answer.contains(words), "{words} in {answer}");
        }
        // Objects that are none: refused or let through, and answered.
        for object in [json!(null), json!(1), json!([]), json!({"metadata": [], "spec": 1})] {
            for kind in [("", "Pod"), ("networking.istio.io", "VirtualService")] {
                ask(&pilot, path, &review(kind, "CREATE", &object)).await;
            }
        }
    }
    assert_eq!(post(&pilot, "/other", JSON, b"{}").await.0, 404);
    assert!(!pilot.process.log().contains("panicked"), "{}", pilot.process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rule_that_is_wrong_is_refused_and_one_that_comes_too_early_is_not() {
    let pilot = Pilot::start().await;
    let rule = |spec: Value| {
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "reviews", "namespace": "default",
                "managedFields": [{"manager": "kubectl"}]},
            "spec": spec})
    };
    let review_of = |spec| review(("networking.istio.io", "VirtualService"), "CREATE", &rule(spec));
    let route = |host: &str, subset: &str| {
        json!({"hosts": [host],
            "http": [{"route": [{"destination": {"host": host, "subset": subset}}]}]})
    };

    let mut unknown = route("reviews", "v1");
    unknown["http"][0]["mirrors"] = json!([]);
    let response = ask(&pilot, "/validate", &review_of(unknown)).await;
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("spec.http[0].mirrors: "), "{message}");

    for (spec, words) in [
        (route("reviews", "v1"), "has no DestinationRule"),
        (route("reviewz", "v1"), "there is no service reviewz.default.svc.cluster.local"),
    ] {
        let response = ask(&pilot, "/validate", &review_of(spec)).await;
        assert_eq!(response["allowed"], true, "{response}");
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(
            warning.starts_with("stored, and in force by itself once this no longer holds: spec.")
        );
        assert!(warning.contains(words));
    }
    let subset = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
        metadata: {name: reviews}\n\
        spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}\n";
    pilot.apply(subset).await.unwrap();
    let response = ask(&pilot, "/validate", &review_of(route("reviews", "v1"))).await;
    assert!(response["allowed"] == true && response.get("warnings").is_none(), "{response}");
    let metrics = pilot.page("/metrics").await.unwrap();
    assert!(metrics.contains("galley_validation_passed 3"), "{metrics}");
    assert!(metrics.contains("galley_validation_failed 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_others_use_and_what_was_there_before_is_let_in() {
    let pilot = Pilot::start().await;
    let gateway = |class: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {class}}}\n\
             spec:\n  gatewayClassName: {class}\n  listeners:\n  \
             - {{name: http, port: 80, protocol: HTTP}}\n"
        )
    };
    pilot.apply(&format!("{}---\n{}", gateway("mesh"), gateway("other"))).await.unwrap();
    let group = "gateway.networking.k8s.io";
    let route = |parent: Value| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "a"}, "spec": {"parentRefs": [parent], "rules": [
                {"filters": [{"type": "ExtensionRef", "extensionRef": {"name": "x"}}]}]}})
    };
    for (parent, allowed) in [
        (json!({"name": "other"}), true),
        (json!({"name": "unknown"}), true),
        (json!({"kind": "Other", "name": "mesh"}), true),
        (json!({"name": "mesh", "namespace": "default"}), false),
        (json!({"group": "", "kind": "Service", "name": "reviews"}), false),
    ] {
        let review = review((group, "HTTPRoute"), "CREATE", &route(parent));
        let response = ask(&pilot, "/validate", &review).await;
        assert_eq!(response["allowed"], allowed, "{review} {response}");
    }
    let mut unheard = route(json!({"name": "mesh", "sectionName": "admin"}));
    unheard["spec"]["rules"] = json!([{"backendRefs": [{"name": "reviews", "port": 9080}]}]);
    let response =
        ask(&pilot, "/validate", &review((group, "HTTPRoute"), "CREATE", &unheard)).await;
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("spec.parentRefs[0]: Gateway default/mesh has no"), "{warning}");

    // Of a mesh that honoured more.
    let mut rule = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"hosts": ["reviews"], "future": 1}});
    let mut update = review(("networking.istio.io", "VirtualService"), "UPDATE", &rule);
    update["request"]["oldObject"] = rule.clone();
    rule["metadata"]["finalizers"] = json!([]);
    update["request"]["object"] = rule.clone();
    assert_eq!(ask(&pilot, "/validate", &update).await["allowed"], true);
    rule["spec"]["future"] = json!(2);
    update["request"]["object"] = rule;
    assert_eq!(ask(&pilot, "/validate", &update).await["allowed"], false);
}

/// New settings of injection, whole at once.
fn set(pilot: &Pilot, text: &str) {
    let hidden = pilot.inject_config().with_extension("tmp");
    std::fs::write(&hidden, text).unwrap();
    std::fs::rename(hidden, pilot.inject_config()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn new_settings_are_taken_and_broken_ones_are_not() {
    let pilot = Pilot::start().await;
    let image = async || {
        let object = pod(&json!({}));
        let response = ask(&pilot, "/inject", &review(("", "Pod"), "CREATE", &object)).await;
        let image = &patched(object, &response)["spec"]["initContainers"][0]["image"];
        image.as_str().unwrap().to_owned()
    };
    let write = |text: &str| set(&pilot, text);
    let becomes = async |expected: &str| {
        eventually_async(expected, async || (image().await == expected).then_some(())).await;
    };
    assert_eq!(image().await, "mesh/proxy");
    write("image: hub/proxy:2\n");
    becomes("hub/proxy:2").await;
    write("image: hub/proxy:3\nnative: true\n");
    eventually_async("the complaint", async || {
        pilot.process.log().contains("native").then_some(())
    })
    .await;
    assert_eq!(image().await, "hub/proxy:2");
    write("image: hub/proxy:4\n");
    becomes("hub/proxy:4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pilot_that_starts_with_broken_settings_only_refuses_to_inject() {
    let pilot = Pilot::start().await;
    set(&pilot, "image: hub/proxy:2\nnative: true\n");
    let pilot = pilot.restart().await;
    eventually_async("it to be ready", async || pilot.page("/ready").await).await;
    let create = async |annotations: Value| {
        ask(&pilot, "/inject", &review(("", "Pod"), "CREATE", &pod(&annotations))).await
    };
    let refused = create(json!({})).await;
    assert_eq!(refused["allowed"], false);
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(message.contains("inject.yaml") && message.contains("native"), "{message}");
    let without = create(json!({"sidecar.istio.io/inject": "false"})).await;
    assert_eq!(without["allowed"], true, "{without}");

    set(&pilot, "image: hub/proxy:2\nconcurrency: many\n");
    eventually_async("the new reason", async || {
        let refused = create(json!({})).await;
        refused["status"]["message"].as_str()?.contains("concurrency").then_some(())
    })
    .await;
    set(&pilot, "image: hub/proxy:2\n");
    eventually_async("a sidecar", async || {
        create(json!({})).await["allowed"].as_bool()?.then_some(())
    })
    .await;
}
