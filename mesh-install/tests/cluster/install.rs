use std::time::Duration;

use mesh_install::chart::NAMESPACE;
use mesh_install::check::{self, Level};
use mesh_install::{Change, Event, InstallError};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Day};
use crate::{FOR_EVER, LITTLE_PATIENCE, install, install_within, owner, release};

#[tokio::test]
async fn the_ground_comes_first_and_webhooks_last_and_again_nothing_changes() {
    let server = ApiServer::start().await;
    let (done, _) = install(&server, json!({})).await;
    done.unwrap();
    let writes = server.writes();
    assert_eq!(writes[0], "namespaces/mesh-system");
    let last: Vec<_> =
        writes[writes.len() - 2..].iter().map(|one| one.split_once('/').unwrap().0).collect();
    assert_eq!(last, ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]);

    let (done, events) = install(&server, json!({})).await;
    done.unwrap();
    let changed = events
        .iter()
        .filter(|event| matches!(event, Event::Applied(_, change) if *change != Change::Unchanged));
    assert_eq!(changed.count(), 0, "{events:?}");
    let webhook = server.get("mutatingwebhookconfigurations", "mesh-sidecar-injector-mesh-system");
    assert_eq!(webhook.unwrap()["webhooks"][0]["clientConfig"]["caBundle"], "cm9vdA==");
}

#[tokio::test]
async fn interrupted_at_any_moment_it_can_be_run_again() {
    let whole = ApiServer::start().await;
    install(&whole, json!({})).await.0.unwrap();
    let steps = whole.writes().len();
    assert!(steps > 15, "{steps}");
    for at in 0..steps {
        let server = ApiServer::start().await;
        server.day(Day { fails_at: Some(at), ..Day::default() });
        let (failed, _) = install(&server, json!({})).await;
        let error = failed.unwrap_err().to_string();
        assert!(error.contains("the power went out"), "{at}: {error}");
        install(&server, json!({})).await.0.unwrap();
        assert_eq!(server.names(), whole.names(), "{at}");
    }
}

#[tokio::test]
async fn bad_values_are_refused_before_anything_is_written() {
    let server = ApiServer::start().await;
    let (failed, _) = install(&server, json!({"pilot": {"replicas": "two"}})).await;
    assert!(matches!(failed, Err(InstallError::Chart(_))), "{failed:?}");
    assert!(server.writes().is_empty());
}

#[tokio::test]
async fn what_speaks_against_it_is_said_with_a_way_on() {
    let server = ApiServer::start().await;
    let findings = check::before(&server.client(), &release(json!({}))).await.unwrap();
    assert_eq!(check::worst(&findings), Level::Ok, "{findings:?}");

    server.day(Day { forbids: true, minor: Some("27"), ..Day::default() });
    server.put(
        "namespaces",
        json!({
            "metadata": {"name": NAMESPACE}, "status": {"phase": "Terminating"},
        }),
    );
    server.put(
        "mutatingwebhookconfigurations",
        json!({
            "metadata": {"name": "istio-sidecar-injector"}, "webhooks": [],
        }),
    );
    let findings = check::before(&server.client(), &release(json!({}))).await.unwrap();
    let errors = findings.iter().filter(|finding| finding.level == Level::Error);
    let errors: Vec<_> = errors.map(|finding| finding.message.as_str()).collect();
    for expected in [
        "1.28 or later",
        "you may not get, create, patch namespaces, customres",
        "is being deleted",
        "besideIstio",
    ] {
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected}: {errors:?}");
    }
    let beside = release(json!({"webhooks": {"besideIstio": true}}));
    let findings = check::before(&server.client(), &beside).await.unwrap();
    let others = findings.iter().find(|finding| finding.check == "other meshes").unwrap();
    assert_eq!(others.level, Level::Warning, "{others:?}");
}

#[tokio::test]
async fn a_cluster_has_one_mesh_however_many_revisions() {
    let server = ApiServer::start().await;
    install(&server, json!({})).await.0.unwrap();
    let mut canary = release(json!({"revision": "canary"}));
    let findings = check::before(&server.client(), &canary).await.unwrap();
    assert_eq!(check::worst(&findings), Level::Ok, "{findings:?}");
    canary.namespace = "elsewhere".to_owned();
    let findings = check::before(&server.client(), &canary).await.unwrap();
    let error = findings.iter().find(|finding| finding.level == Level::Error).unwrap();
    assert!(error.message.contains("--mesh-namespace mesh-system"), "{error:?}");
}

#[tokio::test]
async fn the_trust_domain_of_a_mesh_stays() {
    let server = ApiServer::start().await;
    install(&server, json!({"trustDomain": "old.example"})).await.0.unwrap();
    let findings = check::before(&server.client(), &release(json!({}))).await.unwrap();
    let error = findings.iter().find(|finding| finding.level == Level::Error).unwrap();
    assert!(error.message.contains("--set trustDomain=old.example"), "{error:?}");
}

#[tokio::test]
async fn without_rights_the_object_is_named_and_nothing_is_there() {
    let server = ApiServer::start().await;
    server.day(Day { forbids: true, ..Day::default() });
    let error = install(&server, json!({})).await.0.unwrap_err().to_string();
    assert!(error.contains("Namespace mesh-system: somebody cannot"), "{error}");
    assert!(server.names().is_empty());
}

#[tokio::test]
async fn a_full_node_is_what_the_wait_ends_with() {
    let server = ApiServer::start().await;
    server.day(Day { stuck: Some("mesh-pilot"), ..Day::default() });
    let full = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }]});
    server.put("pods", pilot(full));
    // Room may come: that is waited for, however short the grace.
    let (failed, events) =
        install_within(&server, json!({}), LITTLE_PATIENCE, Duration::ZERO).await;
    let error = failed.unwrap_err();
    assert!(matches!(error, InstallError::Wait(_)), "{error}");
    assert!(error.to_string().contains("Insufficient memory"), "{error}");
    let told = events.iter().any(
        |event| matches!(event, Event::Waiting { why, .. } if why.contains("Insufficient memory")),
    );
    assert!(told, "{events:?}");
    // What refuses while no pilot answers is not there yet.
    assert!(!server.names().iter().any(|name| name.contains("webhook")), "{:?}", server.names());
}

/// A pod of the pilot.
fn pilot(status: Value) -> Value {
    json!({
        "metadata": {
            "name": "mesh-pilot-1", "namespace": NAMESPACE,
            "labels": {"app": "mesh-pilot", "sidecar.mesh/rev": "default"},
        },
        "status": status,
    })
}

#[tokio::test]
async fn an_image_that_cannot_be_had_ends_the_wait_long_before_its_time() {
    let server = ApiServer::start().await;
    server.day(Day { stuck: Some("mesh-pilot"), ..Day::default() });
    let waiting = json!({"reason": "ErrImagePull", "message": "no such host"});
    server.put(
        "pods",
        pilot(json!({"phase": "Pending", "containerStatuses": [{
            "name": "pilot", "image": "mesh/pilot:9", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": waiting},
        }]})),
    );
    let (failed, events) = install_within(&server, json!({}), FOR_EVER, LITTLE_PATIENCE).await;
    let error = failed.unwrap_err().to_string();
    let expected = "mesh-system/mesh-pilot: 0 of 2 pods are ready: pod mesh-pilot-1: the image \
                    mesh/pilot:9 cannot be had: kubelet says: no such host; load it into the \
                    nodes, or say where it is with --set hub=REGISTRY,tag=TAG";
    assert!(error.contains(expected), "{error}");
    let told = events
        .iter()
        .any(|event| matches!(event, Event::Waiting { why, .. } if expected.ends_with(why)));
    assert!(told, "{events:?}");
}

#[tokio::test]
async fn pods_that_go_away_by_themselves_are_not_what_a_wait_is_for() {
    let server = ApiServer::start().await;
    server.day(Day { stuck: Some("mesh-pilot"), ..Day::default() });
    for (number, set) in ["old", "new"].into_iter().enumerate() {
        let metadata = json!({"name": set, "namespace": NAMESPACE,
            "labels": {"app": "mesh-pilot", "sidecar.mesh/rev": "default"},
            "ownerReferences": owner("Deployment", "mesh-pilot"),
            "annotations": {"deployment.kubernetes.io/revision": number.to_string()}});
        server.put("replicasets", json!({"metadata": metadata}));
    }
    let sick = |name: &str, set: &str, more: Value| {
        let conditions = json!([{"type": "PodScheduled", "status": "False",
            "message": format!("no room for {name}")}]);
        let mut pod = pilot(json!({"phase": "Pending", "conditions": conditions}));
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["ownerReferences"] = owner("ReplicaSet", set);
        let metadata = pod["metadata"].as_object_mut().unwrap();
        metadata.extend(more.as_object().cloned().unwrap());
        server.put("pods", pod);
    };
    sick("former", "old", json!({}));
    sick("leaving", "new", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
    let wait = async || {
        let (failed, _) = install_within(&server, json!({}), LITTLE_PATIENCE, Duration::ZERO).await;
        failed.unwrap_err().to_string()
    };
    let error = wait().await;
    assert!(error.contains("0 of 2 pods are ready") && !error.contains("no room"), "{error}");
    sick("latest", "new", json!({}));
    let error = wait().await;
    assert!(error.contains("no room for latest"), "{error}");
}

#[tokio::test]
async fn a_plan_changes_nothing_and_says_what_would() {
    let server = ApiServer::start().await;
    let objects = mesh_install::objects(&release(json!({}))).unwrap();
    let plan = mesh_install::plan(&server.client(), &objects).await.unwrap();
    assert!(plan.iter().all(|(_, change)| *change == Change::Created), "{plan:?}");
    assert!(server.names().is_empty());
    install(&server, json!({})).await.0.unwrap();
    let objects = mesh_install::objects(&release(json!({"pilot": {"replicas": 3}}))).unwrap();
    let plan = mesh_install::plan(&server.client(), &objects).await.unwrap();
    let changed: Vec<_> = plan
        .iter()
        .filter(|(_, change)| *change != Change::Unchanged)
        .map(|(object, change)| format!("{change:?} {object}"))
        .collect();
    assert_eq!(changed, ["Changed Deployment mesh-system/mesh-pilot"]);
}
