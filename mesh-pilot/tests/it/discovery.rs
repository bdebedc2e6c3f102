//! What proxies are sent, and what is known of them.

use crate::peer::Peer;
use crate::pilot::Pilot;
use crate::world::{REVIEWS_SUBSETS, pod, reviews, reviews_split, service};
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::mesh::v1::type_status::State;
use mesh_proto::mesh::v1::{ListProblemsRequest, ListServicesRequest};
use mesh_testkit::{eventually, eventually_async};
use mesh_xds::ResourceType::{self, Cluster, Endpoint, Listener, Route};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_gets_everything_in_order_and_is_listed() {
    let pilot = Pilot::start().await;
    let peer = Peer::connect(pilot.xds, "reviews-v1").await;
    pilot.settled(1).await;
    assert_eq!(peer.take_types(), [Cluster, Endpoint, Listener, Route]);
    assert_eq!(pilot.page("/ready").await.unwrap(), "ready\n");

    let proxies = pilot.proxies().await;
    let [proxy] = proxies.as_slice() else { panic!("{proxies:?}") };
    assert_eq!(proxy.id, "sidecar~10.244.0.11~reviews-v1.default~default.svc.cluster.local");
    assert_eq!((proxy.pod.as_str(), proxy.namespace.as_str()), ("reviews-v1", "default"));
    assert_eq!(proxy.version, "scripted");
    for status in &proxy.types {
        assert_eq!(status.state(), State::Synced, "{status:?}");
        assert_eq!(status.sent_version, status.acked_version);
        assert!(status.resources > 0);
    }
    drop(peer);
    eventually_async("the proxy to be gone", async || {
        pilot.proxies().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_route_changes_only_routes_and_its_rollout_ends() {
    let pilot = Pilot::start().await;
    let (a, b) =
        (Peer::connect(pilot.xds, "reviews-v1").await, Peer::connect(pilot.xds, "x").await);
    pilot.settled(2).await;
    let version = pilot.apply(REVIEWS_SUBSETS).await.unwrap();
    pilot.rolled_out(version).await;
    for peer in [&a, &b] {
        assert_eq!(peer.take_types(), [Cluster, Endpoint, Listener, Route, Cluster]);
    }

    let version = pilot.apply(&reviews_split(&[("v1", 50), ("v3", 50)])).await.unwrap();
    let rollout = pilot.rolled_out(version).await;
    assert_eq!((rollout.concerned, rollout.acked), (2, 2));
    assert!(rollout.rejections.is_empty());
    assert!(rollout.elapsed_ms > 0.0);
    for peer in [&a, &b] {
        let seen = peer.take_seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].resource_type, seen[0].resources), (Route, 1));
    }

    // The same again changes nothing, and concerns nobody.
    let version = pilot.apply(&reviews_split(&[("v1", 50), ("v3", 50)])).await.unwrap();
    pilot.rolled_out(version).await;
    assert!(a.take_seen().is_empty());
    let metrics = pilot.page("/metrics").await.unwrap();
    assert!(metrics.contains("pilot_xds_pushes{type=\"rds\"} 4"), "{metrics}");
    assert!(metrics.contains("\npilot_xds 2\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endpoint_that_is_not_ready_any_more_leaves_at_once() {
    let pilot = Pilot::start().await;
    let peer = Peer::connect(pilot.xds, "x").await;
    pilot.settled(1).await;
    peer.take_seen();
    pilot.write(
        "mesh.yaml",
        &reviews().replace(
            &pod("reviews", "v2", "10.244.0.12", true),
            &pod("reviews", "v2", "10.244.0.12", false),
        ),
    );
    let seen = eventually("a response", || Some(peer.take_seen()).filter(|seen| !seen.is_empty()));
    let types: Vec<_> = seen.iter().map(|seen| seen.resource_type).collect();
    assert_eq!(types, [Endpoint]);
    let [any] = seen[0].response.resources.as_slice() else { panic!("{seen:?}") };
    let assignment: ClusterLoadAssignment = mesh_proto::any::unpack(any).unwrap().unwrap();
    let text = format!("{assignment:?}");
    assert!(text.contains("10.244.0.11") && text.contains("10.244.0.13"), "{text}");
    assert!(!text.contains("10.244.0.12"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rejection_is_shown_and_not_repeated() {
    let pilot = Pilot::start().await;
    let peer = Peer::connect(pilot.xds, "x").await;
    pilot.apply(REVIEWS_SUBSETS).await.unwrap();
    pilot.settled(1).await;
    let good = version_of(&pilot, Route).await;
    peer.reject(Route, "virtual host reviews: weights are bad");
    let version = pilot.apply(&reviews_split(&[("v1", 10), ("v2", 90)])).await.unwrap();
    let rollout = pilot.rolled_out(version).await;
    assert_eq!((rollout.concerned, rollout.acked), (1, 1));
    assert_eq!(rollout.rejections.len(), 1);
    assert_eq!(rollout.rejections[0].error, "virtual host reviews: weights are bad");

    let status = route_status(&pilot).await;
    assert_eq!(status.state(), State::Rejected);
    assert_eq!(status.error, "virtual host reviews: weights are bad");
    assert_eq!(status.acked_version, good);
    let metrics = pilot.page("/metrics").await.unwrap();
    assert!(metrics.contains("pilot_total_xds_rejects{type=\"rds\"} 1"), "{metrics}");

    // Something else changes: the refused routes are not sent again.
    peer.take_seen();
    pilot.write("more.yaml", &pod("reviews", "v4", "10.244.0.14", true));
    let mut types = Vec::new();
    eventually("the new endpoint", || {
        types.extend(peer.take_types());
        types.contains(&Endpoint).then_some(())
    });
    // What comes with a later version comes after all that came with this one.
    let subsets = format!("{REVIEWS_SUBSETS}    - {{name: v4, labels: {{version: v4}}}}\n");
    let version = pilot.apply(&subsets).await.unwrap();
    pilot.rolled_out(version).await;
    types.extend(peer.take_types());
    assert!(types.contains(&Cluster), "{types:?}");
    assert!(!types.contains(&Route), "{types:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_broken_file_is_named_and_what_was_good_stays() {
    let pilot = Pilot::start().await;
    let peer = Peer::connect(pilot.xds, "x").await;
    pilot.settled(1).await;
    let before = peer.take_seen().len();
    assert_eq!(before, 4);
    pilot.write("mesh.yaml", "kind: [Service\n");
    let mut status = pilot.status().await;
    let problem = eventually_async("the problem", async || {
        let problems = status.list_problems(ListProblemsRequest {}).await.unwrap().into_inner();
        problems.problems.into_iter().next()
    })
    .await;
    assert!(problem.source.contains("mesh.yaml"), "{problem:?}");
    let services = status.list_services(ListServicesRequest {}).await.unwrap().into_inner();
    let names: Vec<_> = services.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["ratings", "reviews"]);
    assert_eq!(services.services[1].versions, ["v1", "v2", "v3"]);
    assert!(peer.take_seen().is_empty());

    pilot.write("mesh.yaml", &(reviews() + "---\n" + &service("details", "10.96.0.3")));
    eventually("the repaired file", || peer.take_types().contains(&Cluster).then_some(()));
    let problems = status.list_problems(ListProblemsRequest {}).await.unwrap().into_inner();
    assert!(problems.problems.is_empty(), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_returns_is_sent_only_what_it_lacks_also_by_a_new_process() {
    let pilot = Pilot::start().await;
    pilot.apply(REVIEWS_SUBSETS).await.unwrap();
    let peer = Peer::connect(pilot.xds, "x").await;
    pilot.settled(1).await;

    let peer = peer.reconnect(pilot.xds, "x").await;
    pilot.settled(1).await;
    assert!(peer.take_seen().is_empty());
    let pilot = pilot.restart().await;
    let peer = peer.reconnect(pilot.xds, "x").await;
    pilot.settled(1).await;
    assert!(peer.take_seen().is_empty());
    let version = pilot.apply(&reviews_split(&[("v2", 100)])).await.unwrap();
    pilot.rolled_out(version).await;
    assert_eq!(peer.take_types(), [Route]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_is_no_sidecar_is_told_so() {
    use mesh_proto::envoy::service::discovery::v3::DiscoveryRequest;
    use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
    let pilot = Pilot::start().await;
    let address = format!("http://{}", pilot.xds);
    let mut client = AggregatedDiscoveryServiceClient::connect(address).await.unwrap();
    let first = DiscoveryRequest { type_url: Cluster.type_url().to_owned(), ..Default::default() };
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    sender.send(first).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut responses = client.stream_aggregated_resources(requests).await.unwrap().into_inner();
    let error = responses.message().await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    assert!(error.message().contains("node.id"), "{error}");
}

async fn route_status(pilot: &Pilot) -> mesh_proto::mesh::v1::TypeStatus {
    let proxies = pilot.proxies().await;
    proxies[0].types.iter().find(|t| t.type_url == Route.type_url()).unwrap().clone()
}

async fn version_of(pilot: &Pilot, resource_type: ResourceType) -> String {
    let proxies = pilot.proxies().await;
    let status = proxies[0].types.iter().find(|t| t.type_url == resource_type.type_url());
    status.unwrap().acked_version.clone()
}
