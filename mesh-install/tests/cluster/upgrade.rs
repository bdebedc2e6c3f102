use mesh_install::chart::NAMESPACE;
use mesh_install::check::{self, Level};
use mesh_install::{Known, Rollout, Scope, UpgradeError, Which};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Day};
use crate::{LITTLE_PATIENCE, PATIENCE, install, nobody, owner, release};

fn namespace(server: &ApiServer, name: &str, labels: Value) {
    server.put("namespaces", json!({"metadata": {"name": name, "labels": labels}}));
}

/// A pod that was injected by the settings of this digest.
fn pod(server: &ApiServer, namespace: &str, name: &str, owners: Value, settings: &str) {
    let status = json!({"settings": settings}).to_string();
    server.put(
        "pods",
        json!({
            "metadata": {
                "name": name, "namespace": namespace, "ownerReferences": owners,
                "labels": {"app": name, "sidecar.mesh/rev": "default"},
                "annotations": {"sidecar.mesh/status": status},
            },
            "spec": {"containers": [{"name": "mesh-proxy", "image": "mesh/proxy:1"}]},
        }),
    );
}

/// A deployment with its replica set and one pod.
fn deployment(server: &ApiServer, namespace: &str, name: &str, template: Value, settings: &str) {
    server.put(
        "deployments",
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": template},
            },
        }),
    );
    let replica_set = format!("{name}-rs");
    let owners = owner("Deployment", name);
    let metadata = json!({"name": replica_set, "namespace": namespace, "ownerReferences": owners});
    server.put("replicasets", json!({"metadata": metadata}));
    let pod_name = format!("{name}-1");
    pod(server, namespace, &pod_name, owner("ReplicaSet", &replica_set), settings);
}

/// A namespace of the mesh with two deployments, whose pods were made by these settings.
fn shop(server: &ApiServer, settings: &str) {
    namespace(server, "shop", json!({"mesh-injection": "enabled", "team": "a"}));
    for name in ["cart", "till"] {
        deployment(server, "shop", name, json!({}), settings);
    }
}

/// The digest of the settings that a release gives to sidecars.
fn settings(values: Value) -> String {
    let objects = mesh_install::objects(&release(values)).unwrap();
    let text = objects.iter().find_map(|one| one.object["data"]["config.yaml"].as_str()).unwrap();
    mesh_inject::Config::from_yaml(text).unwrap().settings_digest.unwrap()
}

async fn find(server: &ApiServer, values: Value, moves: bool) -> Rollout {
    let release = release(values);
    let objects = mesh_install::objects(&release).unwrap();
    let which = Which { only: Vec::new(), moves };
    mesh_install::find_stale(&server.client(), &release, &objects, &which).await.unwrap()
}

/// As without `--revision`.
async fn stale(server: &ApiServer) -> Rollout {
    find(server, json!({}), false).await
}

/// As with `--revision NAME`.
async fn moved(server: &ApiServer, revision: &str) -> Rollout {
    find(server, json!({"revision": revision}), true).await
}

fn names(rollout: &Rollout) -> Vec<String> {
    rollout.workloads.iter().map(ToString::to_string).collect()
}

fn by_hand(rollout: &Rollout, object: &str) -> String {
    let found = rollout.by_hand.iter().find(|(name, _)| name.to_string() == object);
    found.map(|(_, why)| why.clone()).unwrap_or_else(|| panic!("{object}: {rollout:?}"))
}

fn restarted(server: &ApiServer, name: &str) -> bool {
    let deployment = server.get("deployments", name).unwrap();
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    annotations["kubectl.kubernetes.io/restartedAt"].is_string()
}

#[tokio::test]
async fn only_workloads_with_other_sidecars_are_rolled_out() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    shop(&server, "old");
    let rollout = stale(&server).await;
    assert_eq!((rollout.namespaces.len(), rollout.workloads.len()), (0, 2), "{rollout:?}");
    mesh_install::roll_out(&server.client(), &rollout, PATIENCE, &nobody()).await.unwrap();
    assert!(restarted(&server, "cart") && restarted(&server, "till"));

    shop(&server, &settings(json!({})));
    let rollout = stale(&server).await;
    assert!(rollout.workloads.is_empty(), "{rollout:?}");
    let rollout = find(&server, json!({"injection": {"concurrency": 3}}), false).await;
    assert_eq!(rollout.workloads.len(), 2, "any setting counts: {rollout:?}");
}

#[tokio::test]
async fn the_first_sick_workload_ends_it() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    shop(&server, "old");
    let rollout = stale(&server).await;
    server.day(Day { stuck: Some("cart"), ..Day::default() });
    let error =
        mesh_install::roll_out(&server.client(), &rollout, LITTLE_PATIENCE, &nobody()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, UpgradeError::Sick(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("Deployment shop/cart") && text.contains("0 of 2"), "{text}");
    assert!(text.contains("kubectl rollout undo --namespace shop deployment/cart"), "{text}");
    assert!(restarted(&server, "cart") && !restarted(&server, "till"));
}

#[tokio::test]
async fn a_workload_whose_pods_are_refused_is_sick_and_says_by_what() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    shop(&server, "old");
    let rollout = stale(&server).await;
    server.day(Day { refused: Some("cart"), ..Day::default() });
    let error =
        mesh_install::roll_out(&server.client(), &rollout, LITTLE_PATIENCE, &nobody()).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("its pods cannot be made: exceeded quota: small"), "{text}");
    assert!(!restarted(&server, "till"));
}

#[tokio::test]
async fn a_stateful_set_whose_pods_are_refused_says_so_by_its_events() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    namespace(&server, "shop", json!({"mesh-injection": "enabled"}));
    let metadata = json!({"name": "till", "namespace": "shop", "uid": "7"});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "till"}}});
    server.put(
        "statefulsets",
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}),
    );
    pod(&server, "shop", "till-0", owner("StatefulSet", "till"), "old");
    let rollout = stale(&server).await;
    assert_eq!(names(&rollout), ["StatefulSet shop/till"]);
    server.day(Day { stuck: Some("till"), ..Day::default() });
    server.put(
        "events",
        json!({
            "metadata": {"name": "e", "namespace": "shop"}, "reason": "FailedCreate",
            "involvedObject": {"uid": "7"}, "message": "violates PodSecurity",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }),
    );
    // Its pod is gone, and no new one comes.
    server.remove("pods", "shop", "till-0");
    let error =
        mesh_install::roll_out(&server.client(), &rollout, LITTLE_PATIENCE, &nobody()).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("its pods cannot be made: violates PodSecurity"), "{text}");
}

#[tokio::test]
async fn namespaces_move_to_a_revision_and_back_and_keep_their_own_labels() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    shop(&server, &settings(json!({})));
    let labels = |server: &ApiServer| {
        server.get("namespaces", "shop").unwrap()["metadata"]["labels"].clone()
    };

    let rollout = moved(&server, "canary").await;
    assert_eq!(rollout.namespaces, ["shop"]);
    assert_eq!(rollout.workloads.len(), 2);
    let canary = json!({"revision": "canary", "ingressGateway": {"enabled": false}});
    install(&server, canary).await.0.unwrap();
    mesh_install::roll_out(&server.client(), &rollout, PATIENCE, &nobody()).await.unwrap();
    assert_eq!(labels(&server), json!({"team": "a", "sidecar.mesh/rev": "canary"}));

    let rollout = stale(&server).await;
    assert!(rollout.namespaces.is_empty(), "unasked, nobody is taken back: {rollout:?}");
    let rollout = moved(&server, "default").await;
    assert_eq!(rollout.namespaces, ["shop"]);
    mesh_install::roll_out(&server.client(), &rollout, PATIENCE, &nobody()).await.unwrap();
    assert_eq!(labels(&server), json!({"team": "a", "mesh-injection": "enabled"}));
}

#[tokio::test]
async fn what_is_an_istios_stays_an_istios() {
    let server = ApiServer::start().await;
    let beside = json!({"webhooks": {"besideIstio": true}});
    install(&server, beside.clone()).await.0.unwrap();
    shop(&server, "old");
    namespace(&server, "theirs", json!({"istio.io/rev": "1-22"}));
    namespace(&server, "theirs-too", json!({"istio-injection": "enabled"}));
    namespace(&server, "lost", json!({"sidecar.mesh/rev": "gone"}));
    let rollout = find(&server, beside, false).await;
    assert!(rollout.namespaces.is_empty() && rollout.by_hand.is_empty(), "{rollout:?}");
    let asking = async || {
        let findings = check::after(&server.client(), NAMESPACE).await;
        let said = findings.iter().filter_map(|one| one.message.strip_prefix("the namespace "));
        said.filter_map(|said| said.split(' ').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(asking().await, ["lost"]);
    let canary = json!({"revision": "canary", "webhooks": {"besideIstio": true}});
    let rollout = find(&server, canary, true).await;
    assert_eq!(rollout.namespaces, ["shop"]);
    let why = by_hand(&rollout, "Namespace lost");
    assert!(why.contains("kubectl label namespace lost sidecar.mesh/rev=canary"), "{why}");

    // Without an Istio its labels are ours, but a revision that is not here is not.
    install(&server, json!({})).await.0.unwrap();
    let rollout = moved(&server, "canary").await;
    assert_eq!(rollout.namespaces, ["shop", "theirs-too"]);
    assert_eq!(asking().await, ["lost", "theirs"]);
}

#[tokio::test]
async fn proxies_are_found_wherever_they_are() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    namespace(&server, "silent", json!({}));
    namespace(&server, "asks", json!({"mesh-injection": "enabled"}));
    let status = json!({"settings": "old"}).to_string();
    let injected = json!({
        "labels": {"sidecar.mesh/rev": "default"}, "annotations": {"sidecar.mesh/status": status},
    });
    deployment(&server, "silent", "written", injected.clone(), "old");
    deployment(
        &server,
        "silent",
        "labelled",
        json!({"labels": {"sidecar.mesh/inject": "true"}}),
        "old",
    );
    deployment(&server, "silent", "leftover", json!({}), "old");
    pod(&server, "asks", "bare", json!([]), "old");
    pod(&server, "asks", "set-1", owner("ReplicaSet", "set"), "old");
    pod(&server, "asks", "other-1", owner("Rollout", "other"), "old");
    pod(&server, "asks", "new", json!([]), &settings(json!({})));
    let template = json!({"spec": {"template": {"metadata": injected}}});
    server.put(
        "cronjobs",
        json!({
            "metadata": {"name": "nightly", "namespace": "silent"},
            "spec": {"jobTemplate": template},
        }),
    );
    let rollout = stale(&server).await;
    assert_eq!(names(&rollout), ["Deployment silent/labelled"]);
    for (object, expected) in [
        ("Deployment silent/written", "`meshctl inject -f FILE | kubectl apply --namespace silent"),
        ("CronJob silent/nightly", "`meshctl inject -f FILE | kubectl apply --namespace silent"),
        ("Deployment silent/leftover", "kubectl label namespace silent mesh-injection=enabled"),
        ("Pod asks/bare", "`kubectl delete pod --namespace asks bare`"),
        ("ReplicaSet asks/set", "`kubectl delete pod --namespace asks set-1`"),
        ("Rollout asks/other", "`kubectl delete pod --namespace asks other-1`"),
    ] {
        let why = by_hand(&rollout, object);
        assert!(why.contains(expected), "{object}: {why}");
    }
    assert_eq!(rollout.by_hand.len(), 6, "{rollout:?}");
    let purged = mesh_install::find(&server.client(), NAMESPACE, &Scope::Purge).await.unwrap();
    let written: Vec<_> = purged.written.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(written, ["written", "nightly"]);

    let rollout = moved(&server, "canary").await;
    let why = by_hand(&rollout, "Deployment silent/written");
    assert!(why.contains("meshctl inject --revision canary -f"), "{why}");
    let why = by_hand(&rollout, "Deployment silent/labelled");
    assert!(why.contains("ask for the revision default") && why.contains("canary"), "{why}");
}

#[tokio::test]
async fn gateways_are_brought_along_by_who_makes_them() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    namespace(&server, "edge", json!({"mesh-injection": "enabled"}));
    // By Istio's template: its container has another name.
    deployment(&server, "edge", "ingress", json!({}), "old");
    let mut gateway = server.get("pods", "ingress-1").unwrap();
    gateway["spec"]["containers"][0]["name"] = json!("istio-proxy");
    server.put("pods", gateway.clone());
    // By a pilot, for the Gateway API.
    gateway["metadata"]["name"] = json!("front-1");
    gateway["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("mesh");
    gateway["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"] = json!("front");
    server.put("pods", gateway);

    let rollout = stale(&server).await;
    assert_eq!(names(&rollout), ["Deployment edge/ingress"]);
    assert!(rollout.by_hand.is_empty(), "{rollout:?}");
    let rollout = moved(&server, "canary").await;
    let why = by_hand(&rollout, "Gateway edge/front");
    assert!(why.contains("--namespace edge front sidecar.mesh/rev=canary"), "{why}");
}

async fn known(server: &ApiServer, revision: &str) -> Option<Known> {
    mesh_install::remembered(&server.client(), NAMESPACE, revision).await.unwrap()
}

#[tokio::test]
async fn an_upgrade_knows_the_values_of_the_installation() {
    let server = ApiServer::start().await;
    assert_eq!(known(&server, "default").await, None);
    let values = json!({"pilot": {"replicas": 3}, "tag": "old"});
    install(&server, values).await.0.unwrap();
    let values = json!({"createNamespace": true, "pilot": {"replicas": 3}});
    let of = "default".to_owned();
    assert_eq!(known(&server, "default").await, Some(Known { values, of }));
}

#[tokio::test]
async fn a_new_revision_begins_with_the_values_of_the_one_beside_it() {
    let server = ApiServer::start().await;
    let values = json!({
        "trustDomain": "old.example", "hub": "registry.example/mesh",
        "ingressGateway": {"enabled": true, "replicas": 2},
    });
    install(&server, values).await.0.unwrap();
    let Known { values, of } = known(&server, "canary").await.unwrap();
    assert_eq!(of, "default");
    let expected = json!({
        "createNamespace": true, "trustDomain": "old.example", "hub": "registry.example/mesh",
        "ingressGateway": {"replicas": 2},
    });
    assert_eq!(values, expected);

    install(&server, json!({"revision": "canary", "trustDomain": "old.example"})).await.0.unwrap();
    assert_eq!(known(&server, "canary").await.unwrap().of, "canary");
}

#[tokio::test]
async fn all_revisions_have_one_trust_domain() {
    let server = ApiServer::start().await;
    install(&server, json!({"trustDomain": "old.example"})).await.0.unwrap();
    for (trust_domain, errors) in [("new.example", 1), ("old.example", 0)] {
        let canary = json!({"revision": "canary", "trustDomain": trust_domain});
        let findings = check::before(&server.client(), &release(canary)).await.unwrap();
        let found: Vec<_> =
            findings.iter().filter(|finding| finding.level == Level::Error).collect();
        assert_eq!(found.len(), errors, "{found:?}");
        let says = |finding: &&check::Finding| {
            finding.message.contains("revision default")
                && finding.message.contains("--set trustDomain=old.example")
        };
        assert!(found.iter().all(says), "{found:?}");
    }
}
