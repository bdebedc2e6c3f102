//! A scripted control plane.

use std::net::SocketAddr;

use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;
use mesh_proto::text;
use mesh_testkit::client::get;
use mesh_testkit::{Upstream, XdsServer, eventually_async, free_ports};

use crate::proxy::Proxy;

fn cluster(name: &str, more: &str) -> Cluster {
    text::from_yaml(&format!(
        "{{ name: {name}, type: EDS, eds_cluster_config: {{ eds_config: {{ ads: {{}} }} }} {more} }}"
    ))
    .unwrap()
}

fn endpoints(name: &str, upstream: &Upstream) -> ClusterLoadAssignment {
    let port = upstream.address().port();
    text::from_yaml(&format!(
        "{{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}] }}] }}"
    ))
    .unwrap()
}

fn listener(name: &str, port: u16, more: &str) -> Listener {
    text::from_yaml(&format!(
        r#"{{ name: {name}, address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}, filter_chains: [{{ filters: [{{ name: hcm, typed_config: {{
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
            stat_prefix: p, rds: {{ route_config_name: table, config_source: {{ ads: {{}} }} }}, {more}
            http_filters: [{{ name: r, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}] }} }}] }}] }}"#
    ))
    .unwrap()
}

fn routes(cluster: &str) -> RouteConfiguration {
    text::from_yaml(&format!(
        "{{ name: table, virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: {cluster} }} }}] }}] }}"
    ))
    .unwrap()
}

fn bootstrap(admin: u16, pilot: SocketAddr) -> String {
    format!(
        "
node: {{ id: sidecar~10.0.0.1~a.default~default.svc.cluster.local, cluster: a.default }}
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }} }}
dynamic_resources:
  lds_config: {{ ads: {{}}, resource_api_version: V3 }}
  cds_config: {{ ads: {{}}, resource_api_version: V3 }}
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{{ envoy_grpc: {{ cluster_name: pilot }} }}]
static_resources:
  clusters:
  - name: pilot
    http2_protocol_options: {{}}
    load_assignment:
      cluster_name: pilot
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}
",
        pilot.port()
    )
}

/// A proxy that has cluster `a`, listener `l` and its routes from a control plane.
struct Mesh {
    server: XdsServer,
    proxy: Proxy,
    upstream: Upstream,
    front: SocketAddr,
}

impl Mesh {
    async fn start() -> Self {
        let server = XdsServer::start();
        let upstream = Upstream::start("a");
        let [admin, front] = free_ports();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = Proxy::start(&bootstrap(admin, server.address()), local(admin));
        // Clusters and listeners are asked for at once.
        let first = server.wait_for("the first request", |_| true);
        assert_eq!(first.node.unwrap().cluster, "a.default");
        eventually_async("PRE_INITIALIZING", async || {
            let answer = get(local(admin), "admin", "/ready").await.ok()?;
            (answer.status == 503 && answer.text() == "PRE_INITIALIZING\n").then_some(())
        })
        .await;
        server.set("1", &[cluster("a", "")]);
        server.set("1", &[endpoints("a", &upstream)]);
        server.set("1", &[listener("l", front, "")]);
        server.set("1", &[routes("a")]);
        proxy.wait_until_ready().await;
        Self { server, proxy, upstream, front: local(front) }
    }

    async fn answers(&self, expected: &str) {
        eventually_async(&format!("an answer by {expected}"), async || {
            let answer = get(self.front, "front", "/").await.ok()?;
            (answer.headers.get("x-upstream")? == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_comes_and_goes_by_ads() {
    let mesh = Mesh::start().await;
    mesh.answers("a").await;
    let dump = mesh.proxy.dump("ClustersConfigDump").await;
    let active = &dump["dynamic_active_clusters"][0];
    assert_eq!((&active["version_info"], &active["cluster"]["name"]), (&"1".into(), &"a".into()));
    let dump = mesh.proxy.dump("ListenersConfigDump").await;
    assert_eq!(dump["dynamic_listeners"][0]["active_state"]["version_info"], "1");
    assert_eq!(
        mesh.proxy.dump("RoutesConfigDump").await["dynamic_route_configs"][0]["route_config"]["name"],
        "table"
    );
    let dump = mesh.proxy.dump("EndpointsConfigDump").await;
    assert_eq!(dump["dynamic_endpoint_configs"][0]["endpoint_config"]["cluster_name"], "a");

    // A second cluster, and the routes to it.
    let other = Upstream::start("b");
    mesh.server.set("2", &[cluster("a", ""), cluster("b", "")]);
    mesh.server.set("2", &[endpoints("a", &mesh.upstream), endpoints("b", &other)]);
    mesh.server.wait_for_ack::<ClusterLoadAssignment>("2");
    mesh.server.set("2", &[routes("b")]);
    mesh.server.wait_for_ack::<RouteConfiguration>("2");
    mesh.answers("b").await;

    // Without the listener nobody listens.
    mesh.server.set::<Listener>("2", &[]);
    mesh.server.wait_for_ack::<Listener>("2");
    assert!(std::net::TcpStream::connect(mesh.front).is_err());
    assert_eq!(mesh.proxy.text("/listeners").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_resource_is_named_and_the_good_ones_apply() {
    let mesh = Mesh::start().await;
    let bad = cluster("a", ", preconnect_policy: {}");
    mesh.server.set("2", &[bad, cluster("b", "")]);
    let reason = mesh.server.wait_for_nack::<Cluster>();
    assert_eq!(reason, "cluster a: preconnect_policy: field is known but not honoured; remove it");
    // The last good `a` serves, and the new `b` asks for its endpoints.
    mesh.answers("a").await;
    let other = Upstream::start("b");
    mesh.server.set("2", &[endpoints("a", &mesh.upstream), endpoints("b", &other)]);
    mesh.server.set("2", &[routes("b")]);
    mesh.answers("b").await;
    let dump = mesh.proxy.dump("ClustersConfigDump").await;
    let active = dump["dynamic_active_clusters"].as_array().unwrap();
    assert_eq!(active[0]["error_state"]["version_info"], "2");
    assert_eq!(active[0]["error_state"]["failed_configuration"]["name"], "a");
    assert!(active[1].get("error_state").is_none());

    // A port in use is a reason, too.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listeners = [listener("l", mesh.front.port(), ""), listener("m", address.port(), "")];
    mesh.server.set("2", &listeners);
    let reason = mesh.server.wait_for_nack::<Listener>();
    assert!(reason.starts_with(&format!("listener m: cannot listen on {address}")), "{reason}");
    mesh.answers("b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_control_plane_the_last_configuration_stays() {
    let Mesh { server, proxy, upstream, front } = Mesh::start().await;
    let address = server.address();
    drop(server);
    eventually_async("the loss of the control plane", async || {
        let text = proxy.text("/stats?filter=control_plane.connected_state").await;
        text.ends_with(": 0\n").then_some(())
    })
    .await;
    // Attempts that fail are attempts.
    eventually_async("another attempt", async || {
        let text = proxy.text("/stats?filter=control_plane.connect_attempt").await;
        let attempts: u64 = text.trim_end().rsplit(' ').next()?.parse().ok()?;
        (attempts > 1).then_some(())
    })
    .await;
    assert_eq!(get(front, "front", "/").await.unwrap().status, 200);
    assert_eq!(proxy.text("/ready").await, "LIVE\n");

    // One that comes back is found, and nothing was lost.
    let server = XdsServer::start_at(address);
    server.set("7", &[cluster("a", "")]);
    server.set("7", &[endpoints("a", &upstream)]);
    server.set("7", &[listener("l", front.port(), "")]);
    server.set("7", &[routes("a")]);
    server.wait_for_ack::<RouteConfiguration>("7");
    assert_eq!(get(front, "front", "/").await.unwrap().status, 200);
    eventually_async("the listener's new version", async || {
        let dump = proxy.dump("ListenersConfigDump").await;
        (dump["dynamic_listeners"][0]["active_state"]["version_info"] == "7").then_some(())
    })
    .await;
}
