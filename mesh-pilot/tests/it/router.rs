//! A gateway's proxy of this control plane: mesh-proxy, and a stock Envoy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use mesh_proto::mesh::v1::type_status::State;
use mesh_testkit::{Process, Upstream, binary, client, envoy, eventually_async, free_port};

use crate::envoy::bootstrap;
use crate::pilot::Pilot;

const NODE: &str = "router~127.0.0.1~edge-0.default~default.svc.cluster.local";

fn start(name: &str, program: PathBuf, pilot: &Pilot) -> Process {
    let file = pilot.config().with_file_name("router.yaml");
    std::fs::write(&file, bootstrap(NODE, pilot.xds)).unwrap();
    let mut command = Command::new(program);
    command.args(["--concurrency", "1", "--log-level", "warning", "--config-path"]).arg(file);
    if name == "envoy" {
        command.arg("--disable-hot-restart");
    }
    Process::start(name, &mut command)
}

/// A service whose only endpoint is `upstream`, and the pod of the gateway, whose port `listens`
/// is behind the port 80 of a service.
fn mesh(upstream: SocketAddr, listens: u16) -> String {
    let service = |name: &str, port: u16, target: u16| {
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  clusterIP: 10.96.1.{}
  ports: [{{name: http, port: {port}, targetPort: {target}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: default
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: {target}}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
---
",
            name.len()
        )
    };
    let gateway = "apiVersion: v1
kind: Pod
metadata: {name: edge-0, namespace: default, labels: {istio: ingressgateway}}
spec: {containers: []}
status: {phase: Running, podIP: 127.0.0.1}
";
    [&service("pages", 9080, upstream.port()), &service("edge", 80, listens), gateway].concat()
}

const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
    - {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com, b.com]}
---
";

fn route(host: &str, path: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: pages}}
spec:
  hosts: [{host}]
  gateways: [edge]
  http: [{{match: [{{uri: {{prefix: {path}}}}}], route: [{{destination: {{host: pages}}}}]}}]
"
    )
}

async fn status(address: SocketAddr, host: &str, path: &str) -> Option<u16> {
    let answer = client::get(address, host, path).await.ok()?;
    Some(answer.status.as_u16())
}

async fn lets_in_what_its_routes_say(name: &str, program: PathBuf) {
    let pilot = Pilot::start().await;
    let upstream = Upstream::start("pages");
    let listens = free_port();
    let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, listens));
    pilot.write("edge.yaml", &mesh(upstream.address(), listens));
    let _proxy = start(name, program, &pilot);
    eventually_async("the proxy to connect", async || {
        let proxies = pilot.proxies().await;
        proxies.iter().any(|proxy| proxy.pod == "edge-0").then_some(())
    })
    .await;
    assert_eq!(status(edge, "a.com", "/").await, None, "nobody listens without a Gateway");

    pilot.apply(GATEWAY).await.unwrap();
    eventually_async("the port", async || status(edge, "a.com", "/").await).await;
    assert_eq!(status(edge, "a.com", "/").await, Some(404), "no route");

    let version = pilot.apply(&route("'*'", "/in")).await.unwrap();
    let rollout = pilot.rolled_out(version).await;
    assert!(rollout.rejections.is_empty(), "{rollout:?}");
    eventually_async("the route", async || {
        (status(edge, "a.com", "/in").await == Some(200)).then_some(())
    })
    .await;
    // By whatever port the client thinks that it calls.
    assert_eq!(status(edge, "b.com:8080", "/in/it").await, Some(200));
    assert_eq!(status(edge, "a.com", "/out").await, Some(404));
    assert_eq!(status(edge, "c.com", "/in").await, Some(404), "no host of the gateway");

    pilot.apply(&route("b.com", "/in")).await.unwrap();
    eventually_async("the narrower host", async || {
        (status(edge, "a.com", "/in").await == Some(404)).then_some(())
    })
    .await;
    assert_eq!(status(edge, "b.com", "/in").await, Some(200));
    let proxies = pilot.proxies().await;
    let types = &proxies.iter().find(|proxy| proxy.pod == "edge-0").unwrap().types;
    assert!(types.iter().all(|t| t.state() != State::Rejected), "{types:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mesh_proxy_lets_in_what_its_routes_say() {
    lets_in_what_its_routes_say("mesh-proxy", binary::binary("mesh-proxy")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn envoy_lets_in_what_its_routes_say() {
    let Some(program) = envoy::binary() else { return };
    lets_in_what_its_routes_say("envoy", program).await;
}
