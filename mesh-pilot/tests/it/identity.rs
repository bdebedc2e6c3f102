//! The certificate authority, and xDS over TLS for those whom it knows.

use std::process::{Command, Stdio};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh_testkit::{Process, eventually, eventually_async, free_port, require_command};
use mesh_tls::{Identity, PrivateKey, csr};
use mesh_xds::ResourceType;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::member::{ask, channel, id, join, register};
use crate::pilot::Pilot;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_is_worth_a_certificate_and_that_another() {
    if require_command("openssl").is_none() {
        return;
    }
    let pilot = Pilot::start().await;
    let token = register(&pilot.tokens(), "shop", "cart", 60);
    let key = PrivateKey::generate().unwrap();
    let request = csr(&key, &id("shop", "cart")).unwrap();
    let chain = ask(channel(&pilot, None), &request, Some(&token), 3600).await.unwrap();
    assert_eq!(chain.len(), 2, "the leaf and the root");

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("leaf.pem", &chain[0]);
    write("root.pem", &chain[1]);
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let output =
            command.args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    for purpose in ["sslclient", "sslserver"] {
        openssl(&format!("verify -x509_strict -purpose {purpose} -CAfile root.pem leaf.pem"));
    }
    let text = openssl("x509 -in leaf.pem -noout -text");
    for expected in ["URI:spiffe://cluster.local/ns/shop/sa/cart", "CA:FALSE", "Digital Signature"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    openssl("x509 -in leaf.pem -noout -checkend 3500");

    // Renewal by the certificate alone, with another key; and by it in spite of a bad token.
    let identity = Identity::from_pem(&chain.concat(), &key.to_pem()).unwrap();
    let other = PrivateKey::generate().unwrap();
    let request = csr(&other, &id("shop", "cart")).unwrap();
    let secure = channel(&pilot, Some(&identity));
    ask(secure.clone(), &request, None, 0).await.unwrap();
    ask(secure.clone(), &request, Some("mesh-join.0123456789abcdef.0123456789abcdef"), 0)
        .await
        .unwrap();
    let foreign = csr(&other, &id("shop", "web")).unwrap();
    refused(ask(secure, &foreign, None, 0).await, Code::PermissionDenied, "somebody else's");

    let metrics = pilot.page("/metrics").await.unwrap();
    assert!(metrics.contains("citadel_server_success_cert_issuance_count 3"), "{metrics}");
    assert!(!pilot.process.log().contains(&token), "no token in the log");
}

#[track_caller]
fn refused(answer: Result<Vec<String>, Status>, code: Code, word: &str) {
    let status = answer.expect_err(word);
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(word), "{word} in {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_proven_or_not_right_is_refused_in_words_and_counted() {
    if require_command("openssl").is_none() {
        return;
    }
    let pilot = Pilot::start().await;
    let token = register(&pilot.tokens(), "shop", "cart", 60);
    let expired = register(&pilot.tokens(), "shop", "cart", -1);
    let key = PrivateKey::generate().unwrap();
    let request = csr(&key, &id("shop", "cart")).unwrap();
    let foreign = csr(&key, &id("shop", "web")).unwrap();
    let elsewhere = {
        let other = mesh_tls::SpiffeId::new("example.org", "shop", "cart").unwrap();
        csr(&key, &other).unwrap()
    };
    let weak = openssl_request("rsa:1024");
    let forged = format!("{}0", &token[..token.len() - 1]);
    let forged = if forged == token { format!("{}1", &token[..token.len() - 1]) } else { forged };
    let large = "a".repeat(20_000);
    let denied = Code::Unauthenticated;
    let bad = Code::InvalidArgument;
    for (csr, token, code, word, reason) in [
        (&request, None, denied, "no credentials", "no_credentials"),
        (&request, Some(&forged), denied, "not known", "forged_token"),
        (&request, Some(&expired), denied, "has expired", "expired_token"),
        (&request, Some(&"a.b.c".to_owned()), denied, "--token-review", "foreign_token"),
        (&request, Some(&"mesh-join.x".to_owned()), denied, "ID.SECRET", "malformed_token"),
        (&foreign, Some(&token), Code::PermissionDenied, "ns/shop/sa/web", "foreign_identity"),
        (&elsewhere, Some(&token), Code::PermissionDenied, "example.org", "foreign_identity"),
        (&"hello".to_owned(), Some(&token), bad, "PKCS#10", "not_a_request"),
        (&weak, Some(&token), bad, "RSA of 1024 bits", "weak_key"),
        (&large, Some(&token), bad, "too large", "too_large"),
    ] {
        refused(ask(channel(&pilot, None), csr, token.map(String::as_str), 0).await, code, word);
        let metrics = pilot.page("/metrics").await.unwrap();
        let line = format!("mesh_pilot_ca_refusals{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|l| l.strip_prefix(&line)).unwrap();
        assert_ne!(count, "0", "{reason}");
    }
    let metrics = pilot.page("/metrics").await.unwrap();
    assert!(metrics.contains("citadel_server_authentication_failure_count 5"), "{metrics}");
    let log = pilot.process.log();
    for secret in [&token, &forged, &expired] {
        let secret = secret.rsplit('.').next().unwrap();
        assert!(!log.contains(secret), "a token in the log");
    }
}

/// A request of a key that openssl makes.
fn openssl_request(key: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-nodes", "-newkey", key, "-keyout", "/dev/null", "-subj", "/"]);
    let output = command.stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_who_asks_without_end_is_held_back() {
    let pilot = Pilot::start().await;
    let channel = channel(&pilot, None);
    let ask = || {
        let channel = channel.clone();
        async move { ask(channel, "", None, 0).await.unwrap_err().code() }
    };
    assert_eq!(ask().await, Code::Unauthenticated);
    // All at once: on a slow machine time passes, by which some more may ask.
    eventually_async("enough to be enough", async || {
        let asking: JoinSet<_> = (0..230).map(|_| ask()).collect();
        asking.join_all().await.contains(&Code::ResourceExhausted).then_some(())
    })
    .await;
}

/// A stream of a proxy of this node, for as long as the first half is kept.
async fn open(
    pilot: &Pilot,
    identity: Option<&Identity>,
    node: &str,
) -> Result<(mpsc::Sender<DiscoveryRequest>, Streaming<DiscoveryResponse>), Status> {
    let (requests, receiver) = mpsc::channel(1);
    let first = DiscoveryRequest {
        node: Some(Node { id: node.to_owned(), ..Node::default() }),
        type_url: ResourceType::Cluster.type_url().to_owned(),
        ..DiscoveryRequest::default()
    };
    requests.send(first).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel(pilot, identity));
    let answers = client.stream_aggregated_resources(ReceiverStream::new(receiver)).await?;
    Ok((requests, answers.into_inner()))
}

/// How many clusters a proxy of this node is told of.
async fn clusters(pilot: &Pilot, identity: Option<&Identity>, node: &str) -> Result<usize, Status> {
    let (_requests, mut answers) = open(pilot, identity, node).await?;
    Ok(answers.message().await?.map_or(0, |answer| answer.resources.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_gets_only_what_its_identity_may_have() {
    let pilot = Pilot::start().await;
    let own = join(&pilot, "default", "default").await;
    let node = "sidecar~10.244.0.11~reviews-v1.default~default.svc.cluster.local";
    assert!(clusters(&pilot, Some(&own), node).await.unwrap() > 0);

    let status = clusters(&pilot, None, node).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let other = join(&pilot, "default", "other").await;
    let status = clusters(&pilot, Some(&other), node).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("pod default/reviews-v1"), "{status}");
    let elsewhere = join(&pilot, "shop", "default").await;
    let status = clusters(&pilot, Some(&elsewhere), node).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    eventually_async("nobody is connected", async || {
        pilot.proxies().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_whose_pod_turns_out_to_be_another_ones_is_cut_off() {
    let pilot = Pilot::start().await;
    let other = join(&pilot, "default", "other").await;
    let node = "sidecar~10.244.0.99~late-v1.default~default.svc.cluster.local";
    let (_requests, mut answers) = open(&pilot, Some(&other), node).await.unwrap();
    assert!(answers.message().await.unwrap().is_some(), "the pod is not known");
    pilot.write("late.yaml", &crate::world::pod("late", "v1", "10.244.0.99", true));
    let status = loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}

#[test]
fn two_that_start_at_once_have_one_root() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let config = folder.path().join(name);
        std::fs::create_dir(&config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-pilot"));
        command.arg("--config-dir").arg(&config);
        command.arg("--ca-dir").arg(folder.path().join("ca"));
        command.arg("--root-cert-file").arg(folder.path().join(format!("{name}.pem")));
        command.arg("--api-socket").arg(folder.path().join(format!("{name}.sock")));
        for flag in ["--secure-address", "--http-address"] {
            command.args([flag, &format!("127.0.0.1:{}", free_port())]);
        }
        Process::start(name, &mut command)
    };
    let names = ["a", "b", "c", "d"];
    let _pilots = names.map(start);
    let roots = names.map(|name| {
        let path = folder.path().join(format!("{name}.pem"));
        eventually("the root", || std::fs::read_to_string(&path).ok())
    });
    assert!(roots.iter().all(|root| *root == roots[0] && !root.is_empty()));
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &str| {
        std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("ca"), mode("ca/root.pem"), mode("a.pem")), (0o700, 0o600, 0o644));
    let files = std::fs::read_dir(folder.path().join("ca")).unwrap().count();
    assert_eq!(files, 1, "nothing is left of the others' attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_keeps_the_root_and_a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let pilot = Pilot::start().await;
    let root = std::fs::read_to_string(pilot.roots()).unwrap();
    let identity = join(&pilot, "default", "default").await;
    let pilot = pilot.restart().await;
    assert_eq!(std::fs::read_to_string(pilot.roots()).unwrap(), root);
    let node = "sidecar~10.244.0.11~reviews-v1.default~default.svc.cluster.local";
    eventually_async("the old certificate counts", async || {
        clusters(&pilot, Some(&identity), node).await.ok().filter(|clusters| *clusters > 0)
    })
    .await;

    let key = pilot.roots().with_file_name("root.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-pilot"));
    command.arg("--config-dir").arg(pilot.config());
    command.arg("--api-socket").arg(pilot.socket().with_extension("other"));
    for flag in ["--secure-address", "--http-address"] {
        command.args([flag, &format!("127.0.0.1:{}", free_port())]);
    }
    let mut second = Process::start("a second mesh-pilot", &mut command);
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.log().contains("chmod 600"), "{}", second.log());
}
