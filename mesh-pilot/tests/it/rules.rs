//! The Rules service, and how the process begins and ends.

use crate::pilot::Pilot;
use crate::world::{REVIEWS_SUBSETS, reviews_split};
use mesh_proto::mesh::v1::{
    ApplyRulesRequest, DeleteRuleRequest, GetRuleRequest, ListRulesRequest, RuleKey,
    WatchRolloutRequest,
};
use mesh_testkit::{Process, eventually, free_port};
use tokio::net::TcpStream;
use tonic::Code;

fn key(kind: &str) -> RuleKey {
    let (namespace, name) = ("default".to_owned(), "reviews".to_owned());
    RuleKey { kind: kind.to_owned(), namespace, name }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rules_are_kept_as_files_listed_and_deleted() {
    let pilot = Pilot::start().await;
    let both = format!("{REVIEWS_SUBSETS}---\n{}", reviews_split(&[("v1", 50), ("v3", 50)]));
    let mut rules = pilot.rules().await;
    let request = ApplyRulesRequest { yaml: both.clone(), ..Default::default() };
    let applied = rules.apply(request).await.unwrap().into_inner();
    assert_eq!(applied.applied, [key("DestinationRule"), key("VirtualService")]);
    let file = pilot.config().join("rules/VirtualService.default.reviews.yaml");
    assert!(file.is_file());

    let list = |kind: &str, namespace: &str| ListRulesRequest {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
    };
    assert_eq!(rules.list(list("", "")).await.unwrap().into_inner().rules.len(), 2);
    let found = rules.list(list("VirtualService", "default")).await.unwrap().into_inner().rules;
    assert_eq!(found[0].key, Some(key("VirtualService")));
    assert!(rules.list(list("", "other")).await.unwrap().into_inner().rules.is_empty());

    let request = || GetRuleRequest { key: Some(key("VirtualService")) };
    let rule = rules.get(request()).await.unwrap().into_inner().rule.unwrap();
    assert!(rule.yaml.contains("subset: v3"), "{}", rule.yaml);
    let request_delete = || DeleteRuleRequest { key: Some(key("VirtualService")), dry_run: false };
    let mut tried = request_delete();
    tried.dry_run = true;
    rules.delete(tried).await.unwrap();
    assert!(file.exists());
    let needed = DeleteRuleRequest { key: Some(key("DestinationRule")), dry_run: true };
    assert_eq!(rules.delete(needed).await.unwrap_err().code(), Code::InvalidArgument);
    let deleted = rules.delete(request_delete()).await.unwrap().into_inner();
    assert!(deleted.version > applied.version);
    assert!(!file.exists());
    assert_eq!(rules.get(request()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(rules.delete(request_delete()).await.unwrap_err().code(), Code::NotFound);
    let nameless = GetRuleRequest { key: None };
    assert_eq!(rules.get(nameless).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_does_not_check_is_refused_whole_with_the_path() {
    let pilot = Pilot::start().await;
    let good = REVIEWS_SUBSETS;
    for (yaml, expected) in [
        (reviews_split(&[("v1", 50), ("v9", 50)]), &["v9", "subset"][..]),
        (reviews_split(&[("v1", 0), ("v2", 0)]), &["weight"]),
        (reviews_split(&[("v1", 1)]).replace("host: reviews", "host: revews"), &["revews"]),
        ("kind: [".to_owned(), &[]),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n".to_owned(), &["ConfigMap"]),
    ] {
        let text = format!("{good}---\n{yaml}");
        let error = pilot.apply(&text).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{yaml}\n{error}");
        for word in expected {
            assert!(error.message().contains(word), "{word} is missing: {error}");
        }
    }
    let all = ListRulesRequest::default();
    let rules = pilot.rules().await.list(all).await.unwrap().into_inner().rules;
    assert!(rules.is_empty(), "half applied: {rules:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dry_run_stores_nothing() {
    let pilot = Pilot::start().await;
    let mut rules = pilot.rules().await;
    let yaml = REVIEWS_SUBSETS.to_owned();
    let request = ApplyRulesRequest { yaml, dry_run: true, ..Default::default() };
    assert_eq!(rules.apply(request).await.unwrap().into_inner().applied.len(), 1);
    let all = ListRulesRequest::default();
    assert!(rules.list(all).await.unwrap().into_inner().rules.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_snapshot_that_is_not_there_yet_is_not_waited_for() {
    let pilot = Pilot::start().await;
    let request = WatchRolloutRequest { version: 1 << 40, ..Default::default() };
    let error = pilot.status().await.watch_rollout(request).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_address_is_one_of_both_families() {
    let pilot = Pilot::start_everywhere().await;
    for address in [pilot.xds, pilot.http, pilot.secure, pilot.webhook] {
        for loopback in ["127.0.0.1", "::1"] {
            let connected = TcpStream::connect((loopback, address.port())).await;
            connected.unwrap_or_else(|error| panic!("{loopback}, {address}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_one_says_which_address_is_in_use() {
    let pilot = Pilot::start().await;
    let free = || format!("127.0.0.1:{}", free_port());
    let [xds, http, secure] = [pilot.xds, pilot.http, pilot.secure].map(|a| a.to_string());
    let socket = pilot.socket().display().to_string();
    for (xds, http, secure, expected) in [
        (xds.clone(), free(), free(), xds),
        (free(), http.clone(), free(), http),
        (free(), free(), secure.clone(), secure),
        (free(), free(), free(), socket),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mesh-pilot"));
        command.args(["--xds-address", &xds, "--http-address", &http]);
        command.args(["--secure-address", &secure]);
        command.arg("--config-dir").arg(pilot.config());
        command.arg("--api-socket").arg(pilot.socket());
        let mut second = Process::start("a second mesh-pilot", &mut command);
        assert_eq!(second.wait().code(), Some(1));
        let log = second.log();
        assert!(log.contains(&expected) && log.contains("in use"), "{expected}: {log}");
    }
    pilot.apply(REVIEWS_SUBSETS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sigterm_ends_it_and_removes_the_socket() {
    let mut pilot = Pilot::start().await;
    let peer = crate::peer::Peer::connect(pilot.xds, "x").await;
    pilot.settled(1).await;
    pilot.process.terminate();
    assert!(pilot.process.wait().success(), "{}", pilot.process.log());
    assert!(!pilot.socket().exists());
    drop(peer);
    let pilot = pilot.restart().await;
    eventually("the socket", || pilot.socket().exists().then_some(()));
}
