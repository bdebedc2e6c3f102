use std::time::Duration;

use mesh_model::Action;
use mesh_testkit::DEADLINE;
use tempfile::TempDir;

use super::*;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  clusterIP: 10.96.0.1
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
";

fn pod(number: u8) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: reviews-{number}, labels: {{app: reviews, \
         version: v{number}}}}}, spec: {{containers: []}}, status: {{phase: Running, \
         podIP: 10.244.0.{number}, conditions: [{{type: Ready, status: \"True\"}}]}}}}"
    )
}

const SUBSETS: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
";

fn to(subset: &str) -> String {
    format!(
        "# To {subset}.\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: reviews}}\nspec:\n  hosts: [reviews]\n  http:\n  \
         - route: [{{destination: {{host: reviews, subset: {subset}}}}}]\n"
    )
}

async fn mesh() -> (TempDir, FilesAdapter) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("service.yaml"), SERVICE).unwrap();
    std::fs::create_dir(folder.path().join("pods")).unwrap();
    std::fs::write(folder.path().join("pods/1.json"), pod(1)).unwrap();
    let adapter = FilesAdapter::start(folder.path(), MeshConfig::default()).await.unwrap();
    assert_eq!(adapter.problems(), []);
    (folder, adapter)
}

/// Waits until a snapshot shows what is wanted.
async fn until(adapter: &FilesAdapter, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
    let mut snapshots = adapter.snapshots();
    let seen = snapshots.wait_for(|snapshot| wanted(snapshot));
    tokio::time::timeout(DEADLINE, seen).await.expect(what).unwrap();
}

async fn until_problem(adapter: &FilesAdapter, wanted: &str) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let problems = adapter.problems();
        if problems.iter().any(|problem| problem.to_string().contains(wanted)) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{wanted}: {problems:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn versions(snapshot: &Snapshot) -> Vec<String> {
    snapshot.services().iter().flat_map(|service| service.versions()).collect()
}

fn subset(snapshot: &Snapshot) -> Option<String> {
    let route = snapshot.routes_to("reviews.default.svc.cluster.local", "default").pop()?;
    let Action::Forward { destinations, .. } = &route.http[0].action else { return None };
    destinations[0].subset.clone()
}

#[tokio::test]
async fn follows_the_folder() {
    let (folder, adapter) = mesh().await;
    assert_eq!(adapter.snapshots().borrow().version(), 1);
    std::fs::write(folder.path().join("pods/2.yaml"), pod(2)).unwrap();
    until(&adapter, "the second pod", |snapshot| versions(snapshot) == ["v1", "v2"]).await;

    std::fs::create_dir(folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("pods/1.json"), folder.path().join("new/1.json")).unwrap();
    std::fs::write(folder.path().join("pods/2.yaml"), pod(3)).unwrap();
    until(&adapter, "the third pod", |snapshot| versions(snapshot) == ["v1", "v3"]).await;
    std::fs::remove_file(folder.path().join("pods/2.yaml")).unwrap();
    until(&adapter, "its removal", |snapshot| versions(snapshot) == ["v1"]).await;
}

#[tokio::test]
async fn a_folder_that_goes_away_takes_nothing_with_it() {
    let (folder, adapter) = mesh().await;
    let elsewhere = folder.path().with_extension("elsewhere");
    std::fs::rename(folder.path(), &elsewhere).unwrap();
    let error = adapter.apply(SUBSETS, "default", false).await.unwrap_err();
    assert!(error.to_string().contains("the folder cannot be read"), "{error}");
    assert_eq!(adapter.problems().len(), 1);
    assert!(!folder.path().exists());
    assert_eq!(versions(&adapter.snapshots().borrow()), ["v1"]);
    std::fs::rename(&elsewhere, folder.path()).unwrap();
    let applied = adapter.apply(SUBSETS, "default", false).await.unwrap();
    assert_eq!((applied.version, adapter.problems()), (2, Vec::new()));
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_version() {
    let (folder, adapter) = mesh().await;
    let pods = folder.path().join("pods/1.json");
    std::fs::write(&pods, "{broken").unwrap();
    until_problem(&adapter, "pods/1.json: this is not YAML").await;
    std::fs::write(&pods, pod(1).replace("10.244.0.1", "here")).unwrap();
    until_problem(&adapter, "pods/1.json: status.podIP: \"here\" is no IP address").await;
    std::fs::write(&pods, "").unwrap();
    until_problem(&adapter, "pods/1.json: it is empty").await;
    assert_eq!(versions(&adapter.snapshots().borrow()), ["v1"]);
    assert_eq!(adapter.snapshots().borrow().version(), 1, "nothing new was said");

    std::fs::write(&pods, pod(2)).unwrap();
    until(&adapter, "the repaired file", |snapshot| versions(snapshot) == ["v2"]).await;
    assert_eq!(adapter.problems(), []);
}

#[tokio::test]
async fn a_rule_that_does_not_check_keeps_its_last_good_version() {
    let (folder, adapter) = mesh().await;
    let rule = folder.path().join("rule.yaml");
    std::fs::write(&rule, to("v1")).unwrap();
    until_problem(&adapter, "rule.yaml: spec.http[0].route[0].destination.subset").await;
    std::fs::write(folder.path().join("subsets.yaml"), SUBSETS).unwrap();
    until(&adapter, "the rule", |snapshot| subset(snapshot).as_deref() == Some("v1")).await;
    assert_eq!(adapter.problems(), []);

    std::fs::write(&rule, to("v9")).unwrap();
    until_problem(&adapter, "there is no subset \"v9\"").await;
    assert_eq!(subset(&adapter.snapshots().borrow()).as_deref(), Some("v1"));

    let other = to("v2").replace("metadata: {name: reviews}", "metadata: {name: a}");
    std::fs::write(folder.path().join("a.yaml"), other).unwrap();
    until_problem(&adapter, "a.yaml: spec.hosts[0]").await;
    assert_eq!(subset(&adapter.snapshots().borrow()).as_deref(), Some("v1"), "the first counts");
}

#[tokio::test]
async fn applies_all_or_nothing() {
    let (folder, adapter) = mesh().await;
    let before = adapter.snapshots().borrow().version();
    let text = format!("{SUBSETS}---\n{}", to("v9"));
    let error = adapter.apply(&text, "default", false).await.unwrap_err();
    assert!(error.to_string().starts_with("document 2 (line 9): spec.http[0]"), "{error}");
    assert!(adapter.rules().is_empty());

    let text = format!("{SUBSETS}---\n{}", to("v2"));
    let tried = adapter.apply(&text, "default", true).await.unwrap();
    assert_eq!((tried.keys.len(), tried.version), (2, before));
    assert!(adapter.rules().is_empty());

    let applied = adapter.apply(&text, "default", false).await.unwrap();
    let snapshot = adapter.snapshots().borrow().clone();
    assert_eq!((applied.version, snapshot.version()), (before + 1, before + 1));
    assert_eq!(subset(&snapshot).as_deref(), Some("v2"));
    let kept = folder.path().join("rules/VirtualService.default.reviews.yaml");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), to("v2"), "as the user wrote it");

    let again = adapter.apply(&text, "default", false).await.unwrap();
    assert_eq!(again.version, applied.version, "nothing new was said");

    // What stays in force must stay right.
    let fewer = SUBSETS.replace("{name: v2, labels: {version: v2}}", "{name: v3}");
    let error = adapter.apply(&fewer, "default", false).await.unwrap_err().to_string();
    assert!(error.contains("VirtualService default/reviews, which stays"), "{error}");
    let [subsets, route] = applied.keys.as_slice() else { panic!("{:?}", applied.keys) };
    assert!(adapter.delete(subsets, false).await.is_err(), "the route needs them");
    adapter.delete(route, true).await.unwrap();
    let gone = adapter.delete(route, false).await.unwrap();
    assert_eq!(adapter.delete(subsets, false).await.unwrap(), gone + 1);
    assert!(matches!(adapter.delete(route, false).await, Err(StoreError::NotFound(_))));
    assert!(adapter.rules().is_empty());
}

#[tokio::test]
async fn a_write_that_fails_is_taken_back() {
    let (folder, adapter) = mesh().await;
    // A folder in the place of the second file.
    let second = folder.path().join("rules/VirtualService.default.reviews.yaml");
    std::fs::create_dir_all(second.join("x")).unwrap();
    let text = format!("{SUBSETS}---\n{}", to("v2"));
    let error = adapter.apply(&text, "default", false).await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(adapter.rules().is_empty());
    let left: Vec<_> = std::fs::read_dir(folder.path().join("rules")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn leaves_users_files_alone_and_writes_namespaces_down() {
    let (folder, adapter) = mesh().await;
    std::fs::write(folder.path().join("mine.yaml"), SUBSETS).unwrap();
    until(&adapter, "the file", |snapshot| !snapshot.policies().is_empty()).await;
    let error = adapter.apply(SUBSETS, "default", false).await.unwrap_err().to_string();
    assert!(error.contains("DestinationRule default/reviews is written in mine.yaml"), "{error}");

    let full = SUBSETS.replace("host: reviews", "host: reviews.default");
    let error = adapter.apply(&full, "shop", false).await.unwrap_err().to_string();
    assert!(error.contains("already has the DestinationRule default/reviews"), "{error}");
    std::fs::remove_file(folder.path().join("mine.yaml")).unwrap();
    let applied = adapter.apply(&full, "shop", false).await.unwrap();
    assert_eq!(applied.keys[0].namespace, "shop");
    assert_eq!(adapter.rules()[0].key, applied.keys[0], "read back as it was applied");
}
