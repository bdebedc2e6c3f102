use mesh_install::chart::NAMESPACE;
use mesh_install::{Event, Scope};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Day};
use crate::{PATIENCE, install, nobody};

fn definition(labels: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "virtualservices.networking.istio.io", "labels": labels},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {"kind": "VirtualService", "plural": "virtualservices"},
            "versions": [{"name": "v1", "served": true, "storage": true}],
        },
    })
}

async fn uninstall(server: &ApiServer, scope: Scope) -> usize {
    let client = server.client();
    let found = mesh_install::find(&client, NAMESPACE, &scope).await.unwrap();
    mesh_install::uninstall(&client, &found, PATIENCE, &nobody()).await.unwrap();
    found.objects.len()
}

#[tokio::test]
async fn purged_nothing_of_ours_is_left_and_what_is_not_ours_is() {
    let server = ApiServer::start().await;
    server.put("customresourcedefinitions", definition(json!({"app": "istio"})));
    server.put("namespaces", json!({"metadata": {"name": "shop"}}));
    let before = server.names();
    let (done, events) = install(&server, json!({})).await;
    done.unwrap();
    let left_alone = events.iter().any(|event| {
        matches!(event, Event::LeftAlone(object, _) if object.name.starts_with("virtualservices."))
    });
    assert!(left_alone, "{events:?}");
    server.put(
        "configmaps",
        json!({
            "metadata": {"name": "mesh-ca-root-cert", "namespace": "shop"},
        }),
    );
    server.put(
        "leases",
        json!({
            "metadata": {"name": "mesh-ca-leader", "namespace": NAMESPACE},
        }),
    );
    server.put(
        "gatewayclasses",
        json!({
            "metadata": {"name": "mesh", "labels": {"app.kubernetes.io/part-of": "mesh"}},
        }),
    );
    uninstall(&server, Scope::Purge).await;
    assert_eq!(server.names(), before);
    assert_eq!(uninstall(&server, Scope::Purge).await, 0);
}

#[tokio::test]
async fn a_namespace_that_was_there_before_stays_as_it_is() {
    let server = ApiServer::start().await;
    server.put("namespaces", json!({"metadata": {"name": NAMESPACE, "labels": {"team": "shop"}}}));
    let before = server.names();
    install(&server, json!({})).await.0.unwrap();
    let labels = &server.get("namespaces", NAMESPACE).unwrap()["metadata"]["labels"];
    assert_eq!(*labels, json!({"team": "shop"}));
    uninstall(&server, Scope::Purge).await;
    assert_eq!(server.names(), before);
}

#[tokio::test]
async fn without_purge_rules_roots_and_namespace_stay() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    uninstall(&server, Scope::Mesh).await;
    let left = server.names();
    for kept in ["secrets/mesh-ca-secret", "configmaps/mesh-ca-root-cert", "namespaces/mesh-system"]
    {
        assert!(left.iter().any(|name| name == kept), "{kept}: {left:?}");
    }
    let kinds = |name: &&String| name.starts_with("customresourcedefinitions/");
    assert_eq!(left.iter().filter(kinds).count() + 3, left.len(), "{left:?}");
}

#[tokio::test]
async fn a_revision_goes_alone() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    let before = server.names();
    let canary = json!({"revision": "canary", "ingressGateway": {"enabled": false}});
    install(&server, canary).await.0.unwrap();
    assert!(server.names().len() > before.len() + 8);
    uninstall(&server, Scope::Revision("canary".to_owned())).await;
    assert_eq!(server.names(), before);
}

#[tokio::test]
async fn who_still_needs_a_revision_is_known_before_it_goes() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    let labels = [("old", "mesh-injection", "enabled"), ("new", "sidecar.mesh/rev", "canary")];
    for (name, label, value) in labels {
        server.put("namespaces", json!({"metadata": {"name": name, "labels": {label: value}}}));
    }
    for (name, gone) in [("a", false), ("b", true)] {
        let mut pod = json!({"metadata": {
            "name": name, "namespace": format!("of-{name}"), "labels": {"sidecar.mesh/rev": "canary"},
        }});
        if gone {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        server.put("pods", pod);
    }
    for (revision, asking, in_use) in [("default", "old", None), ("canary", "new", Some("of-a"))] {
        let scope = Scope::Revision(revision.to_owned());
        let found = mesh_install::find(&server.client(), NAMESPACE, &scope).await.unwrap();
        assert_eq!(found.asking, [asking]);
        assert_eq!(found.in_use.first().map(String::as_str), in_use);
    }
}

#[tokio::test]
async fn interrupted_it_can_be_run_again() {
    let whole = ApiServer::start().await;
    install(&whole, json!({})).await.0.unwrap();
    let deletions = uninstall(&whole, Scope::Purge).await;
    for at in 0..deletions {
        let server = ApiServer::start().await;
        install(&server, json!({})).await.0.unwrap();
        server.day(Day { fails_at: Some(at), ..Day::default() });
        let client = server.client();
        let found = mesh_install::find(&client, NAMESPACE, &Scope::Purge).await.unwrap();
        let failed = mesh_install::uninstall(&client, &found, PATIENCE, &nobody()).await;
        assert!(failed.unwrap_err().to_string().contains("the power went out"), "{at}");
        uninstall(&server, Scope::Purge).await;
        assert!(server.names().is_empty(), "{at}: {:?}", server.names());
    }
}
