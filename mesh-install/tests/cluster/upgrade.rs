use mesh_install::chart::NAMESPACE;
use mesh_install::{Rollout, UpgradeError};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Day};
use crate::{LITTLE_PATIENCE, PATIENCE, install, nobody, release};

/// A namespace of the mesh with two deployments, whose pods have sidecars of this image.
fn shop(server: &ApiServer, image: &str) {
    server.put(
        "namespaces",
        json!({
            "metadata": {"name": "shop", "labels": {"mesh-injection": "enabled", "team": "a"}},
        }),
    );
    for name in ["cart", "till"] {
        server.put(
            "deployments",
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {}},
            }),
        );
        server.put(
            "pods",
            json!({
                "metadata": {
                    "name": format!("{name}-1"), "namespace": "shop",
                    "labels": {"app": name, "sidecar.mesh/rev": "default"},
                },
                "spec": {"containers": [{"name": "mesh-proxy", "image": image}]},
            }),
        );
    }
}

async fn stale(server: &ApiServer, values: Value) -> Rollout {
    let release = release(values);
    let objects = mesh_install::objects(&release).unwrap();
    mesh_install::find_stale(&server.client(), &release, &objects, &[]).await.unwrap()
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
    shop(&server, "mesh/proxy:old");
    let rollout = stale(&server, json!({})).await;
    assert_eq!((rollout.namespaces.len(), rollout.workloads.len()), (0, 2), "{rollout:?}");
    mesh_install::roll_out(&server.client(), &rollout, PATIENCE, &nobody()).await.unwrap();
    assert!(restarted(&server, "cart") && restarted(&server, "till"));

    shop(&server, &format!("mesh/proxy:{}", env!("CARGO_PKG_VERSION")));
    let rollout = stale(&server, json!({})).await;
    assert!(rollout.workloads.is_empty(), "{rollout:?}");
}

#[tokio::test]
async fn the_first_sick_workload_ends_it() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    shop(&server, "mesh/proxy:old");
    let rollout = stale(&server, json!({})).await;
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
async fn namespaces_move_to_a_revision_and_back_and_keep_their_own_labels() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    shop(&server, &format!("mesh/proxy:{}", env!("CARGO_PKG_VERSION")));
    let labels = |server: &ApiServer| {
        server.get("namespaces", "shop").unwrap()["metadata"]["labels"].clone()
    };

    let rollout = stale(&server, json!({"revision": "canary"})).await;
    assert_eq!(rollout.namespaces, ["shop"]);
    assert_eq!(rollout.workloads.len(), 2);
    mesh_install::roll_out(&server.client(), &rollout, PATIENCE, &nobody()).await.unwrap();
    assert_eq!(labels(&server), json!({"team": "a", "sidecar.mesh/rev": "canary"}));

    let rollout = stale(&server, json!({})).await;
    assert_eq!(rollout.namespaces, ["shop"]);
    mesh_install::roll_out(&server.client(), &rollout, PATIENCE, &nobody()).await.unwrap();
    assert_eq!(labels(&server), json!({"team": "a", "mesh-injection": "enabled"}));
}

#[tokio::test]
async fn an_upgrade_knows_the_values_of_the_installation() {
    let server = ApiServer::start().await;
    let values = json!({"pilot": {"replicas": 3}, "tag": "old"});
    install(&server, values).await.0.unwrap();
    let known = mesh_install::remembered(&server.client(), NAMESPACE, "default").await.unwrap();
    assert_eq!(known, Some(json!({"createNamespace": true, "pilot": {"replicas": 3}})));
    let none = mesh_install::remembered(&server.client(), NAMESPACE, "canary").await.unwrap();
    assert_eq!(none, None);
}
