//! A stock Envoy as a sidecar of this control plane.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::pilot::Pilot;
use crate::world::{REVIEWS_SUBSETS, pod, reviews_split, service};
use mesh_proto::mesh::v1::DeleteRuleRequest;
use mesh_proto::mesh::v1::{RuleKey, type_status::State};
use mesh_testkit::{Netns, Process, envoy, eventually_async, require_command, require_root};

const NODE: &str = "sidecar~10.244.0.11~reviews-v1.default~default.svc.cluster.local";

/// The first file of a proxy that asks the control plane without TLS, for mesh-proxy too. Its
/// pod has IPv6 as well.
pub fn bootstrap(node: &str, xds: SocketAddr) -> String {
    let metadata = "metadata: {INSTANCE_IPS: 'fd00::11'}";
    let node = format!("node: {{id: \"{node}\", cluster: test, {metadata}}}\n");
    node + &ADS.replace("PORT", &xds.port().to_string())
}

const ADS: &str = r#"
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
  cds_config: {resource_api_version: V3, ads: {}}
  lds_config: {resource_api_version: V3, ads: {}}
static_resources:
  clusters:
    - name: xds
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment:
        cluster_name: xds
        endpoints:
          - lb_endpoints:
              - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: PORT}}}
"#;

fn start_envoy(netns: &Netns, folder: &Path) -> Option<Process> {
    let file = folder.join("envoy.yaml");
    let xds = SocketAddr::from((Ipv4Addr::LOCALHOST, 15010));
    std::fs::write(&file, bootstrap(NODE, xds)).unwrap();
    let mut command = netns.command(envoy::binary()?.to_str()?);
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
    command.arg("--config-path").arg(file);
    Some(Process::start("envoy", &mut command))
}

/// Waits until Envoy has acknowledged everything.
async fn synced(pilot: &Pilot) {
    eventually_async("Envoy to be synced", async || {
        let proxies = pilot.proxies().await;
        let [proxy] = proxies.as_slice() else { return None };
        for status in &proxy.types {
            assert_ne!(status.state(), State::Rejected, "{}: {}", status.type_url, status.error);
        }
        let synced = |t: &mesh_proto::mesh::v1::TypeStatus| t.state() == State::Synced;
        (proxy.types.len() == 4 && proxy.types.iter().all(synced)).then_some(())
    })
    .await;
}

/// Waits until a snapshot is everywhere and nothing was refused.
async fn accepted(pilot: &Pilot, version: u64) {
    let rollout = pilot.rolled_out(version).await;
    assert_eq!((rollout.concerned, rollout.acked), (1, 1), "{rollout:?}");
    assert!(rollout.rejections.is_empty(), "{rollout:?}");
    eprintln!("snapshot {version}: {:.1} ms to Envoy's last answer", rollout.elapsed_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn takes_its_configuration_and_each_change_of_it() {
    if !require_root() || require_command("ip").is_none() {
        return;
    }
    let netns = Netns::new();
    let pilot = Pilot::start_in(&netns).await;
    let folder = tempfile::tempdir().unwrap();
    let Some(_envoy) = start_envoy(&netns, folder.path()) else { return };
    synced(&pilot).await;
    assert!(pilot.proxies().await[0].version.starts_with("envoy 1."));

    // New clusters and the routes to them at once: Envoy acknowledges the clusters only when
    // it has their endpoints.
    let both = format!("{REVIEWS_SUBSETS}---\n{}", reviews_split(&[("v1", 50), ("v3", 50)]));
    accepted(&pilot, pilot.apply(&both).await.unwrap()).await;
    accepted(&pilot, pilot.apply(&reviews_split(&[("v2", 100)])).await.unwrap()).await;
    for kind in ["VirtualService", "DestinationRule"] {
        let key =
            RuleKey { kind: kind.into(), namespace: "default".into(), name: "reviews".into() };
        let deleted =
            pilot.rules().await.delete(DeleteRuleRequest { key: Some(key), dry_run: false }).await;
        accepted(&pilot, deleted.unwrap().into_inner().version).await;
    }

    // A new process has nothing to tell an Envoy that returns, until something changes; but
    // that it gave up the endpoints of the subsets is not in the version that it returns with.
    let pilot = pilot.restart().await;
    synced(&pilot).await;
    let log = pilot.process.log();
    let mut sent = log.lines().filter(|line| line.contains(" sending "));
    assert!(sent.all(|line| line.contains("ClusterLoadAssignment")), "{log}");
    accepted(&pilot, pilot.apply(&both).await.unwrap()).await;

    // A service that comes and goes.
    let clusters = |proxies: &[mesh_proto::mesh::v1::Proxy]| proxies[0].types[0].resources;
    let before = clusters(&pilot.proxies().await);
    let details = [service("details", "10.96.0.3"), pod("details", "v1", "10.244.0.31", true)];
    pilot.write("details.yaml", &details.join("---\n"));
    eventually_async("one more cluster", async || {
        (clusters(&pilot.proxies().await) == before + 1).then_some(())
    })
    .await;
    synced(&pilot).await;
    std::fs::remove_file(pilot.config().join("details.yaml")).unwrap();
    eventually_async("one cluster less", async || {
        (clusters(&pilot.proxies().await) == before).then_some(())
    })
    .await;
    synced(&pilot).await;
}
