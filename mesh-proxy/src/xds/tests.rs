//! What is put in force, what waits, what is refused: without any I/O.

use std::time::{Duration, Instant, SystemTime};

use mesh_proto::any;
use mesh_proto::envoy::config::bootstrap::v3::Bootstrap;
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use mesh_proto::text;
use mesh_xds::{Names, ResourceType};
use prost::{Message, Name};
use prost_types::Any;

use super::state::{Action, Now, Outcome, Stage, State};
use crate::config::{SecretSource, wire};
use crate::transport::tls::tests::credentials;

fn parse<M: Message + Name + Default>(yaml: &str) -> Any {
    any::pack(&text::from_yaml::<M>(yaml).unwrap())
}

fn eds(name: &str, fields: &str) -> Any {
    parse::<Cluster>(&format!(
        "{{ name: {name}, type: EDS, eds_cluster_config: {{ eds_config: {{ ads: {{}} }} }} {fields} }}"
    ))
}

fn endpoints(name: &str, port: u16) -> Any {
    parse::<ClusterLoadAssignment>(&format!(
        "{{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 10.0.0.1, port_value: {port} }} }} }} }}] }}] }}"
    ))
}

fn listener(name: &str, port: u16, table: &str) -> Any {
    parse::<Listener>(&format!(
        r#"{{ name: {name}, address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}, filter_chains: [{{ filters: [{{ name: hcm, typed_config: {{
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
            stat_prefix: p, rds: {{ route_config_name: {table}, config_source: {{ ads: {{}} }} }},
            http_filters: [{{ name: r, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}] }} }}] }}] }}"#
    ))
}

fn routes(name: &str, cluster: &str) -> Any {
    parse::<RouteConfiguration>(&format!(
        "{{ name: {name}, virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: {cluster} }} }}] }}] }}"
    ))
}

struct Bench {
    state: State,
    now: Now,
}

impl Bench {
    /// Everything by ADS.
    fn new() -> Self {
        let file: Bootstrap = text::from_yaml(
            "
dynamic_resources:
  lds_config: { ads: {} }
  cds_config: { ads: {} }
  ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: pilot } }] }
static_resources:
  clusters:
  - name: pilot
    http2_protocol_options: {}
    load_assignment: { cluster_name: pilot, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 15010 } } } }] }] }
",
        )
        .unwrap();
        let now = Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let config = wire::bootstrap(file.clone()).unwrap();
        let mut state = State::new(&config, &file, now);
        assert_eq!(said(&state.settle(now)), ["cluster pilot"]);
        Self { state, now }
    }

    fn send(&mut self, kind: ResourceType, resources: Vec<Any>) -> Outcome {
        self.state.response(kind, "v1", resources, self.now)
    }

    fn good(&mut self, kind: ResourceType, resources: Vec<Any>) -> Vec<String> {
        let outcome = self.send(kind, resources);
        assert_eq!(outcome.refused, Vec::<String>::new());
        said(&outcome.actions)
    }

    fn names(&self, kind: ResourceType) -> Names {
        self.state.subscription(kind).unwrap()
    }
}

fn said(actions: &[Action]) -> Vec<String> {
    let say = |action: &Action| match action {
        Action::PutCluster(config) => format!("cluster {}", config.name),
        Action::RemoveCluster(name) => format!("-cluster {name}"),
        Action::PutEndpoints(name, _) => format!("endpoints {name}"),
        Action::ForgetEndpoints(name) => format!("-endpoints {name}"),
        Action::PutListener(config) => format!("listener {}", config.name),
        Action::RemoveListener(name) => format!("-listener {name}"),
        Action::PutRoutes(config) => format!("routes {}", config.name),
        Action::RemoveRoutes(name) => format!("-routes {name}"),
        Action::PutSecret(key, _) => format!("secret {}", key.name),
        Action::RemoveSecret(key) => format!("-secret {}", key.name),
    };
    actions.iter().map(say).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn everything_waits_for_what_it_needs() {
    let mut bench = Bench::new();
    assert_eq!(bench.names(ResourceType::Cluster), Names::Wildcard);
    assert_eq!(bench.state.stage(), Stage::PreInitializing);

    assert_eq!(bench.good(ResourceType::Cluster, vec![eds("a", "")]), NOTHING);
    assert_eq!(bench.names(ResourceType::Endpoint), Names::from_iter(["a"]));
    // A listener may come early; it opens after the clusters and its routes.
    assert_eq!(bench.good(ResourceType::Listener, vec![listener("l", 80, "r")]), NOTHING);
    assert_eq!(bench.names(ResourceType::Route), Names::from_iter(["r"]));
    assert_eq!(bench.good(ResourceType::Route, vec![routes("r", "a")]), ["routes r"]);
    assert_eq!(bench.state.stage(), Stage::PreInitializing);

    let actions = bench.good(ResourceType::Endpoint, vec![endpoints("a", 80)]);
    assert_eq!(actions, ["endpoints a", "cluster a", "listener l"]);
    assert_eq!(bench.state.stage(), Stage::Live);
    assert_eq!(bench.state.next_deadline(), None);
}

#[test]
fn an_update_that_changes_nothing_does_nothing() {
    let mut bench = live();
    assert_eq!(bench.good(ResourceType::Cluster, vec![eds("a", "")]), NOTHING);
    assert_eq!(bench.good(ResourceType::Endpoint, vec![endpoints("a", 80)]), NOTHING);
    assert_eq!(bench.good(ResourceType::Listener, vec![listener("l", 80, "r")]), NOTHING);
    assert_eq!(bench.good(ResourceType::Route, vec![routes("r", "a")]), NOTHING);
    assert_eq!(bench.good(ResourceType::Endpoint, vec![endpoints("a", 81)]), ["endpoints a"]);
}

/// Cluster `a` and listener `l` with routes `r`, all in force.
fn live() -> Bench {
    let mut bench = Bench::new();
    bench.good(ResourceType::Cluster, vec![eds("a", "")]);
    bench.good(ResourceType::Endpoint, vec![endpoints("a", 80)]);
    bench.good(ResourceType::Listener, vec![listener("l", 80, "r")]);
    assert_eq!(bench.good(ResourceType::Route, vec![routes("r", "a")]), ["routes r", "listener l"]);
    assert_eq!(bench.state.stage(), Stage::Live);
    bench
}

#[test]
fn a_bad_resource_is_named_and_the_good_ones_are_taken() {
    let mut bench = live();
    let outcome = bench.send(
        ResourceType::Cluster,
        vec![eds("a", ", preconnect_policy: {}"), eds("b", ""), endpoints("c", 1)],
    );
    assert_eq!(
        outcome.refused,
        [
            "cluster a: preconnect_policy: field is known but not honoured; remove it",
            "resource 2: found a envoy.config.endpoint.v3.ClusterLoadAssignment, expected a envoy.config.cluster.v3.Cluster",
        ]
    );
    // The last good `a` stays, `b` waits for its endpoints.
    assert_eq!(said(&outcome.actions), NOTHING);
    assert_eq!(bench.names(ResourceType::Endpoint), Names::from_iter(["a", "b"]));
    let entry = &bench.state.clusters()["a"];
    assert!(entry.active.is_some() && entry.failure.is_some());
    assert_eq!(
        bench.good(ResourceType::Endpoint, vec![endpoints("b", 80)]),
        ["endpoints b", "cluster b"]
    );
    // Once it is good again, nothing is held against it.
    bench.good(ResourceType::Cluster, vec![eds("a", ""), eds("b", "")]);
    assert!(bench.state.clusters()["a"].failure.is_none());
}

#[test]
fn what_is_absent_is_removed_but_not_what_is_static() {
    let mut bench = live();
    assert_eq!(bench.good(ResourceType::Listener, vec![]), ["-listener l", "-routes r"]);
    assert_eq!(bench.names(ResourceType::Route), Names::Only(Default::default()));
    assert_eq!(bench.good(ResourceType::Cluster, vec![]), ["-cluster a", "-endpoints a"]);
    assert!(bench.state.clusters().contains_key("pilot"));
    assert!(bench.state.endpoints().is_empty());
    let outcome = bench.send(ResourceType::Cluster, vec![eds("pilot", "")]);
    assert_eq!(outcome.refused, ["cluster pilot: is a static cluster, which ADS cannot change"]);
}

#[test]
fn a_changed_listener_serves_on_until_its_new_routes_come() {
    let mut bench = live();
    assert_eq!(bench.good(ResourceType::Listener, vec![listener("l", 80, "s")]), NOTHING);
    assert_eq!(bench.names(ResourceType::Route), Names::from_iter(["r", "s"]));
    let actions = bench.good(ResourceType::Route, vec![routes("s", "a")]);
    assert_eq!(actions, ["routes s", "listener l", "-routes r"]);
}

#[test]
fn nothing_waits_longer_than_the_initial_fetch_timeout() {
    let mut bench = Bench::new();
    bench.good(ResourceType::Cluster, vec![eds("a", "")]);
    bench.good(ResourceType::Listener, vec![listener("l", 80, "r")]);
    let fifteen = bench.now.instant + Duration::from_secs(15);
    assert_eq!(bench.state.next_deadline(), Some(fifteen));
    let late = Now { instant: fifteen, ..bench.now };
    assert_eq!(said(&bench.state.settle(late)), ["cluster a", "listener l"]);
    assert_eq!(bench.state.stage(), Stage::Live);
}

#[test]
fn without_an_answer_the_start_goes_on_in_the_end() {
    let mut bench = Bench::new();
    let late = Now { instant: bench.now.instant + Duration::from_secs(15), ..bench.now };
    bench.state.settle(late);
    assert_eq!(bench.state.stage(), Stage::Live);
}

#[test]
fn a_listener_that_cannot_be_bound_leaves_the_one_before() {
    let mut bench = live();
    let actions = bench.good(ResourceType::Listener, vec![listener("l", 81, "r")]);
    assert_eq!(actions, ["listener l"]);
    bench.state.listener_failed("l", "in use".to_owned(), bench.now.wall);
    bench.state.listeners_taken();
    let entry = &bench.state.listeners()["l"];
    assert_eq!(entry.active.as_ref().unwrap().config.address.ip().unwrap().port(), 80);
    assert_eq!(entry.failure.as_ref().unwrap().details, "in use");
}

#[test]
fn what_was_replaced_is_not_kept() {
    let mut bench = live();
    bench.good(ResourceType::Listener, vec![listener("l", 81, "r")]);
    assert!(bench.state.listeners()["l"].previous.is_some());
    bench.state.listeners_taken();
    assert!(bench.state.listeners()["l"].previous.is_none());
    bench.good(ResourceType::Route, vec![routes("r", "b")]);
    bench.good(ResourceType::Endpoint, vec![endpoints("a", 81)]);
    assert!(bench.state.routes()["r"].previous.is_none());
    assert!(bench.state.endpoints()["a"].previous.is_none());
    // A cluster that asks for other endpoints lets go of those it had.
    let renamed = parse::<Cluster>(
        "{ name: a, type: EDS, eds_cluster_config: { service_name: x, eds_config: { ads: {} } } }",
    );
    assert_eq!(bench.good(ResourceType::Cluster, vec![renamed]), NOTHING);
    assert_eq!(
        bench.good(ResourceType::Endpoint, vec![endpoints("x", 80)]),
        ["endpoints x", "cluster a", "-endpoints a"]
    );
    assert!(bench.state.clusters()["a"].previous.is_none());
}

#[test]
fn a_resource_without_a_name_may_be_any_one() {
    let mut bench = live();
    let outcome = bench.send(ResourceType::Cluster, vec![eds("''", "")]);
    assert_eq!(outcome.refused, ["resource 0: is a cluster without a name"]);
    assert_eq!(said(&outcome.actions), NOTHING);
    let outcome = bench.send(ResourceType::Listener, vec![listener("''", 80, "r")]);
    assert_eq!(outcome.refused, ["resource 0: is a listener without a name"]);
    assert_eq!(said(&outcome.actions), NOTHING);
    assert!(!bench.state.clusters().contains_key(""));
}

#[test]
fn a_name_that_comes_twice_is_refused_the_second_time() {
    let mut bench = live();
    let outcome =
        bench.send(ResourceType::Cluster, vec![eds("a", ""), eds("a", ", connect_timeout: 1s")]);
    assert_eq!(outcome.refused, ["cluster a: is there twice; the first one is taken"]);
    assert_eq!(said(&outcome.actions), NOTHING);
}

#[test]
fn clusters_of_one_service_share_its_endpoints() {
    let mut bench = live();
    let shared = parse::<Cluster>(
        "{ name: b, type: EDS, eds_cluster_config: { service_name: a, eds_config: { ads: {} } } }",
    );
    // The endpoints are known: nothing is asked for again.
    assert_eq!(bench.good(ResourceType::Cluster, vec![eds("a", ""), shared]), ["cluster b"]);
    assert_eq!(bench.names(ResourceType::Endpoint), Names::from_iter(["a"]));
}

/// A cluster that needs a secret from this `sds_config`.
fn secured(name: &str, source: &str) -> Any {
    let context = format!(
        "common_tls_context: {{ tls_certificate_sds_secret_configs: [{{ name: default, sds_config: {source} }}] }}"
    );
    eds(
        name,
        &format!(
            ", transport_socket: {{ name: tls, typed_config: {{ '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, {context} }} }}"
        ),
    )
}

fn secret(name: &str) -> Any {
    let own = credentials("spiffe://cluster.local/ns/a/sa/own");
    parse::<Secret>(&format!(
        "{{ name: {name}, tls_certificate: {{ certificate_chain: {{ inline_string: {:?} }}, private_key: {{ inline_string: {:?} }} }} }}",
        own.chain_pem(),
        own.key().to_pem()
    ))
}

const BY_GRPC: &str = "{ api_config_source: { api_type: GRPC, grpc_services: [{ envoy_grpc: { cluster_name: pilot } }] }, initial_fetch_timeout: 0s }";

#[test]
fn clusters_wait_for_their_secrets_from_either_source() {
    let source = SecretSource::Grpc("pilot".into());
    let mut bench = Bench::new();
    let both = vec![secured("a", BY_GRPC), secured("b", "{ ads: {} }")];
    assert_eq!(bench.good(ResourceType::Cluster, both), NOTHING);
    assert_eq!(bench.names(ResourceType::Secret), Names::from_iter(["default"]));
    assert!(bench.state.secret_names()[&source].contains_key("default"));
    let known = vec![endpoints("a", 80), endpoints("b", 80)];
    assert_eq!(bench.good(ResourceType::Endpoint, known), ["endpoints a", "endpoints b"]);
    let actions = bench.good(ResourceType::Secret, vec![secret("default")]);
    assert_eq!(actions, ["secret default", "cluster b"]);
    assert_eq!(bench.state.stage(), Stage::PreInitializing);
    // What nobody asked for is nothing.
    let outcome = bench.state.secret_response(&source, "1", vec![secret("other")], bench.now);
    assert_eq!((said(&outcome.actions), outcome.refused), (vec![], vec![]));
    let outcome = bench.state.secret_response(&source, "2", vec![secret("default")], bench.now);
    assert_eq!(said(&outcome.actions), ["secret default", "cluster a"]);

    // One of another kind is none.
    let roots = credentials("spiffe://cluster.local").chain_pem();
    let roots = parse::<Secret>(&format!(
        "{{ name: default, validation_context: {{ trusted_ca: {{ inline_string: {roots:?} }} }} }}"
    ));
    let outcome = bench.state.secret_response(&source, "3", vec![roots], bench.now);
    let expected = "(the whole message): found a validation_context, expected a tls_certificate";
    assert_eq!(outcome.refused, [format!("secret default: {expected}")]);

    // A bad one changes nothing, and no key is kept for the admin pages.
    let bad = parse::<Secret>(
        "{ name: default, tls_certificate: { private_key: { inline_string: hush } } }",
    );
    let outcome = bench.state.secret_response(&source, "3", vec![bad], bench.now);
    assert_eq!(said(&outcome.actions), NOTHING);
    assert_eq!(
        outcome.refused,
        ["secret default: tls_certificate.certificate_chain: missing: it is required"]
    );
    let kept = &bench.state.secrets()[&source]["default"];
    let shown = format!("{:?}{:?}", kept.active.as_ref().unwrap().wire, kept.failure);
    let hidden = "hush".bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    assert!(!shown.contains(&hidden) && !shown.contains("hush"), "{shown}");

    assert_eq!(
        bench.good(ResourceType::Cluster, vec![secured("a", BY_GRPC)]),
        ["-cluster b", "-endpoints b", "-secret default"]
    );
    assert!(!bench.state.secret_names().contains_key(&SecretSource::Ads));
}

#[test]
fn a_cluster_that_waits_for_its_secrets_asks_nobody() {
    let mut bench = Bench::new();
    assert!(bench.state.clusters_that_ask().is_empty());
    let by_name = |name: &str| {
        format!(
            "{{ name: {name}, type: STRICT_DNS, load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: localhost, port_value: 80 }} }} }} }}] }}] }} }}"
        )
    };
    let plain = text::from_yaml::<Cluster>(&by_name("plain")).unwrap();
    let mut waiting = text::from_yaml::<Cluster>(&by_name("waiting")).unwrap();
    let secured = secured("a", "{ ads: {} }");
    waiting.transport_socket = Cluster::decode(&*secured.value).unwrap().transport_socket;
    let both = vec![any::pack(&plain), any::pack(&waiting)];
    assert_eq!(bench.good(ResourceType::Cluster, both), ["cluster plain"]);
    assert_eq!(bench.state.clusters_that_ask(), ["plain".into()]);
    let secrets = vec![secret("default")];
    assert_eq!(bench.good(ResourceType::Secret, secrets), ["secret default", "cluster waiting"]);
    assert_eq!(bench.state.clusters_that_ask(), ["plain".into(), "waiting".into()]);
}

#[test]
fn a_secret_is_waited_for_as_long_as_it_says() {
    let mut bench = Bench::new();
    bench.good(ResourceType::Cluster, vec![secured("a", "{ ads: {} }")]);
    bench.good(ResourceType::Endpoint, vec![endpoints("a", 80)]);
    let deadline = bench.state.next_deadline().unwrap();
    assert_eq!(deadline - bench.now.instant, Duration::from_secs(15));
    bench.now.instant = deadline;
    assert_eq!(said(&bench.state.settle(bench.now)), ["cluster a"]);
    // It comes all the same.
    assert_eq!(bench.good(ResourceType::Secret, vec![secret("default")]), ["secret default"]);
}

#[test]
fn secrets_come_from_static_clusters_alone() {
    let mut bench = Bench::new();
    let elsewhere = BY_GRPC.replace("pilot", "a");
    let outcome = bench.send(ResourceType::Cluster, vec![secured("a", &elsewhere)]);
    assert!(outcome.refused[0].contains("found cluster_name \"a\", expected a static cluster"));
}
