//! What is taken, and what is refused with which words.

use std::time::Duration;

use mesh_proto::envoy::config::bootstrap::v3 as bootstrap_proto;
use mesh_proto::envoy::config::cluster::v3 as cluster_proto;
use mesh_proto::envoy::config::endpoint::v3 as endpoint_proto;
use mesh_proto::envoy::config::listener::v3 as listener_proto;
use mesh_proto::envoy::config::route::v3 as route_proto;
use mesh_proto::text;

use crate::config::{self, *};

fn bootstrap(yaml: &str) -> Result<Bootstrap, String> {
    let message: bootstrap_proto::Bootstrap = text::from_yaml(yaml).unwrap();
    super::bootstrap(message).map_err(|error| error.to_string())
}

fn cluster(yaml: &str) -> Result<Cluster, String> {
    let message: cluster_proto::Cluster = text::from_yaml(yaml).unwrap();
    super::cluster(message, &Path::default()).map_err(|error| error.to_string())
}

fn listener(yaml: &str) -> Result<Listener, String> {
    let message: listener_proto::Listener = text::from_yaml(yaml).unwrap();
    super::listener(message, &Path::default(), &|name| name == "known")
        .map_err(|error| error.to_string())
}

fn routes(yaml: &str) -> Result<RouteTable, String> {
    let message: route_proto::RouteConfiguration = text::from_yaml(yaml).unwrap();
    super::route_table(message, &Path::default(), &|name| name == "known")
        .map_err(|error| error.to_string())
}

/// A listener with one chain that ends in this connection manager's `fields`.
fn http_listener(fields: &str) -> String {
    let indented: String = fields.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        r#"
name: l
address: {{ socket_address: {{ address: 0.0.0.0, port_value: 80 }} }}
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: p
      http_filters:
      - name: router
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{indented}"#
    )
}

fn manager(fields: &str) -> Result<HttpConnectionManager, String> {
    let listener = listener(&http_listener(fields))?;
    match &listener.filter_chains[0].filter {
        NetworkFilter::Http(manager) => Ok((**manager).clone()),
        NetworkFilter::Tcp(_) => Err("a TCP proxy".to_owned()),
    }
}

/// A route table with one route of these fields.
fn route(fields: &str) -> Result<Route, String> {
    let table = routes(&format!(
        "name: t\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - {fields}\n"
    ))?;
    Ok((*table.virtual_hosts[0].routes[0]).clone())
}

fn refused<T: std::fmt::Debug>(result: Result<T, String>, expected: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(expected), "{error:?} should contain {expected:?}");
}

#[test]
fn takes_the_sample_file() {
    let sample = include_str!("../../../../samples/static/front-proxy.yaml");
    let found = bootstrap(sample).unwrap();
    assert_eq!(found.admin, Some("127.0.0.1:15000".parse().unwrap()));
    assert_eq!(found.ads, None);
    assert_eq!(found.listeners[0].address, "127.0.0.1:10000".parse().unwrap());
    let Discovery::Static(assignment) = &found.clusters[0].discovery else { panic!() };
    assert_eq!(assignment.endpoints.len(), 3);
    assert_eq!(found, bootstrap(sample).unwrap(), "equal files compare equal");
}

#[test]
fn ads_needs_a_static_cluster_with_an_endpoint() {
    let file = |cluster: &str, kind: &str| {
        format!(
            "
dynamic_resources:
  lds_config: {{ ads: {{}}, resource_api_version: V3, initial_fetch_timeout: 0s }}
  cds_config: {{ ads: {{}}, resource_api_version: V3 }}
  ads_config:
    api_type: {kind}
    transport_api_version: V3
    grpc_services: [{{ envoy_grpc: {{ cluster_name: {cluster} }} }}]
static_resources:
  clusters:
  - name: pilot
    type: STRICT_DNS
    http2_protocol_options: {{}}
    load_assignment:
      cluster_name: pilot
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: pilot.mesh, port_value: 15010 }} }} }}
"
        )
    };
    let ads = bootstrap(&file("pilot", "GRPC")).unwrap().ads.unwrap();
    assert_eq!(ads.listeners, Some(Subscription { initial_fetch_timeout: None }));
    let fifteen = Some(Duration::from_secs(15));
    assert_eq!(ads.clusters, Some(Subscription { initial_fetch_timeout: fifteen }));
    refused(
        bootstrap(&file("other", "GRPC")),
        "dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name: found \"other\"",
    );
    refused(bootstrap(&file("pilot", "DELTA_GRPC")), "found DELTA_GRPC, expected GRPC");
    refused(bootstrap("dynamic_resources: { cds_config: { ads: {} } }"), "ads_config: missing");
}

#[test]
fn refuses_what_a_bootstrap_asks_for_in_vain() {
    refused(
        bootstrap("static_resources: { secrets: [{ name: s }] }"),
        "static_resources.secrets: field is known but not honoured",
    );
    refused(
        bootstrap(
            "static_resources: { clusters: [{ name: c, type: EDS, eds_cluster_config: { eds_config: { ads: {} } } }] }",
        ),
        "static_resources.clusters[0].eds_cluster_config: needs ADS",
    );
    refused(
        bootstrap(
            "static_resources: { clusters: [{ name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }, { name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }] }",
        ),
        "static_resources.clusters[1].name: found \"c\" for the second time",
    );
    refused(
        bootstrap(
            "layered_runtime: { layers: [{ name: l, static_layer: { overload.global: 3 } }] }",
        ),
        "layered_runtime.layers[0].static_layer.overload.global: field is known",
    );
    let inert = "layered_runtime: { layers: [{ name: l, static_layer: { envoy: { reloadable_features: { x: true } } } }] }";
    assert!(bootstrap(inert).is_ok());
    let quiet = "admin: { access_log_path: /dev/null, address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }";
    assert!(bootstrap(quiet).unwrap().admin.is_some());
}

#[test]
fn clusters_of_istios_shape() {
    let found = cluster(
        r#"
name: inbound|9080||
type: ORIGINAL_DST
lb_policy: CLUSTER_PROVIDED
connect_timeout: 10s
cleanup_interval: 60s
upstream_bind_config: { source_address: { address: 127.0.0.6, port_value: 0 } }
circuit_breakers: { thresholds: [{ max_connections: 4294967295, track_remaining: true }] }
common_lb_config: {}
metadata: { filter_metadata: { istio: { a: b } } }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: { idle_timeout: 300s }
    use_downstream_protocol_config:
      http_protocol_options: {}
      http2_protocol_options: { max_concurrent_streams: 1073741824 }
"#,
    )
    .unwrap();
    assert_eq!(found.bind_address, Some("127.0.0.6".parse().unwrap()));
    assert_eq!(found.protocol, HttpProtocol::Downstream);
    assert_eq!(found.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(found.thresholds.max_connections, u32::MAX);
    assert_eq!(found.thresholds.max_retries, 3);

    let eds = cluster("{ name: c, type: EDS, eds_cluster_config: { service_name: s, eds_config: { ads: {}, initial_fetch_timeout: 0s } } }").unwrap();
    assert_eq!(eds.discovery, Discovery::Eds { service_name: "s".into() });
    assert_eq!(eds.initial_fetch_timeout, None);
    assert_eq!(eds.connect_timeout, Duration::from_secs(5));
}

#[test]
fn dns_clusters_keep_names_and_static_ones_need_addresses() {
    let with = |kind: &str| {
        format!(
            "
name: c
{kind}
load_assignment:
  cluster_name: c
  endpoints: [{{ lb_endpoints: [{{ load_balancing_weight: 3, endpoint: {{ address: {{ socket_address: {{ address: web.example, port_value: 80 }} }} }} }}] }}]
"
        )
    };
    let expected = Discovery::StrictDns {
        names: vec![("web.example".to_owned(), 80, 3)],
        refresh: Duration::from_secs(5),
    };
    let found = cluster(&with("type: STRICT_DNS\ndns_lookup_family: V4_ONLY")).unwrap();
    assert_eq!((found.discovery, found.dns_family), (expected.clone(), DnsFamily::V4Only));
    let newer = r#"cluster_type: { name: envoy.clusters.dns, typed_config: { "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, dns_lookup_family: V4_ONLY } }"#;
    assert_eq!(cluster(&with(newer)).unwrap().discovery, expected);
    refused(
        cluster(&with("type: STATIC")),
        "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: found \"web.example\", expected an IP address",
    );
    refused(cluster(&with("type: LOGICAL_DNS")), "type: found LOGICAL_DNS");
}

#[test]
fn load_balancing_policies() {
    let policy = |fields: &str| {
        cluster(&format!("{{ name: c, type: EDS, eds_cluster_config: {{ eds_config: {{ ads: {{}} }} }}, {fields} }}"))
            .map(|cluster| cluster.lb_policy)
    };
    assert_eq!(policy("lb_policy: RANDOM").unwrap(), LbPolicy::Random);
    assert_eq!(
        policy("lb_policy: LEAST_REQUEST, least_request_lb_config: { choice_count: 3 }").unwrap(),
        LbPolicy::LeastRequest { choice_count: 3 }
    );
    let typed = r#"load_balancing_policy: { policies: [
        { typed_extension_config: { name: x, typed_config: { "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest } } } ] }"#;
    assert_eq!(policy(typed).unwrap(), LbPolicy::LeastRequest { choice_count: 2 });
    refused(policy("lb_policy: RING_HASH"), "lb_policy: found RING_HASH, expected ROUND_ROBIN");
    refused(policy("lb_policy: CLUSTER_PROVIDED"), "a cluster of type ORIGINAL_DST takes");
    refused(
        policy("round_robin_lb_config: { slow_start_config: { slow_start_window: 5s } }"),
        "round_robin_lb_config.slow_start_config: field is known",
    );
}

#[test]
fn refuses_what_a_cluster_asks_for_in_vain() {
    for (fields, expected) in [
        ("outlier_detection: {}", "outlier_detection: field is known but not honoured"),
        ("health_checks: [{ timeout: 1s, interval: 1s }]", "health_checks: field is known"),
        ("connect_timeout: 0s", "connect_timeout: found 0s"),
        ("connect_timeout: -1s", "connect_timeout: found -1s, expected a duration that is not"),
        (
            "transport_socket: { name: tls }",
            "transport_socket.typed_config: missing: expected one of envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        ),
        (
            "circuit_breakers: { thresholds: [{ retry_budget: {} }] }",
            "circuit_breakers.thresholds[0].retry_budget: field",
        ),
        (
            "http2_protocol_options: { initial_stream_window_size: 3 }",
            "http2_protocol_options.initial_stream_window_size: found 3",
        ),
        ("load_assignment: { cluster_name: c }", "load_assignment: expected none"),
    ] {
        refused(
            cluster(&format!(
                "{{ name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, {fields} }}"
            )),
            expected,
        );
    }
    refused(cluster("type: STATIC"), "name: missing: it is required");
    refused(cluster("name: c"), "load_assignment: missing");
}

#[test]
fn endpoints_by_health_weight_and_once_each() {
    let message: endpoint_proto::ClusterLoadAssignment = text::from_yaml(
        "
cluster_name: c
policy: { overprovisioning_factor: 140 }
endpoints:
- locality: { region: r }
  load_balancing_weight: 2
  lb_endpoints:
  - endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }
    metadata: { filter_metadata: { envoy.transport_socket_match: { tlsMode: istio } } }
  - endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }
  - endpoint: { address: { socket_address: { address: 'fd00::1', port_value: 80 } } }
    health_status: DRAINING
    load_balancing_weight: 4
",
    )
    .unwrap();
    let found = super::load_assignment(message, &Path::default()).unwrap();
    let expected = [
        Endpoint { address: "10.0.0.1:80".parse().unwrap(), weight: 1, healthy: true },
        Endpoint { address: "[fd00::1]:80".parse().unwrap(), weight: 4, healthy: false },
    ];
    assert_eq!(found.endpoints, expected);
    let message: endpoint_proto::ClusterLoadAssignment =
        text::from_yaml("{ cluster_name: c, endpoints: [{ priority: 1 }] }").unwrap();
    let error = super::load_assignment(message, &Path::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "endpoints[0].priority: field is known but not honoured; remove it"
    );
}

#[test]
fn listeners_of_istios_shape() {
    let found = listener(
        r#"
name: virtualInbound
address: { socket_address: { address: 0.0.0.0, port_value: 15006 } }
use_original_dst: true
traffic_direction: INBOUND
listener_filters:
- name: envoy.filters.listener.original_dst
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst }
- name: envoy.filters.listener.http_inspector
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector }
listener_filters_timeout: 0s
continue_on_listener_filters_timeout: true
filter_chains:
- name: blackhole
  filter_chain_match: { destination_port: 15006 }
  filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: b, cluster: BlackHoleCluster }
- filter_chain_match:
    prefix_ranges: [{ address_prefix: 10.1.2.3, prefix_len: 8 }]
    transport_protocol: raw_buffer
    application_protocols: [http/1.1, h2c]
  filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: w
      idle_timeout: 0s
      weighted_clusters: { clusters: [{ name: a, weight: 1 }, { name: b, weight: 3 }] }
"#,
    )
    .unwrap();
    assert!(found.use_original_dst && found.original_dst && found.http_inspector);
    assert_eq!(found.listener_filters_timeout, None);
    assert_eq!(found.filter_chains[0].matcher.destination_port, Some(15006));
    assert_eq!(found.filter_chains[1].matcher.prefix_ranges, [("10.0.0.0".parse().unwrap(), 8)]);
    let NetworkFilter::Tcp(proxy) = &found.filter_chains[1].filter else { panic!() };
    assert!(matches!(&proxy.target, Target::Weighted { total: 4, .. }), "{:?}", proxy.target);
    assert_eq!(proxy.idle_timeout, None);
}

#[test]
fn refuses_what_a_listener_asks_for_in_vain() {
    let address = "address: { socket_address: { address: 0.0.0.0, port_value: 80 } }";
    let tcp = r#"filters: [{ name: t, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: p, cluster: c } }]"#;
    refused(listener(&format!("{{ {address} }}")), "filter_chains: missing: at least one");
    refused(
        listener(&format!("{{ {address}, filter_chains: [{{ {tcp} }}, {{ {tcp} }}] }}")),
        "filter_chains[1].filter_chain_match: is the same as that of filter_chains[0]",
    );
    refused(
        listener(&format!(
            "{{ {address}, filter_chains: [{{ {tcp}, filter_chain_match: {{ server_names: [a] }} }}] }}"
        )),
        "filter_chains[0].filter_chain_match.server_names: field is known",
    );
    refused(
        listener(&format!("{{ {address}, filter_chains: [{{ filters: [] }}] }}")),
        "filter_chains[0].filters: found 0 filters, expected one of",
    );
    refused(
        listener(&format!(
            r#"{{ {address}, listener_filters: [{{ name: t, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector }} }}], filter_chains: [{{ {tcp} }}] }}"#
        )),
        "listener_filters[0].typed_config: found envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector, expected one of envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    );
    refused(
        listener("address: { pipe: { path: /x } }"),
        "address.pipe: field is known but not honoured",
    );
    let unnamed = listener(&format!("{{ {address}, filter_chains: [{{ {tcp} }}] }}")).unwrap();
    assert_eq!(&*unnamed.name, "0.0.0.0:80");
}

#[test]
fn connection_managers() {
    let found = manager(
        "rds: { route_config_name: '9080', config_source: { ads: {} } }\n\
         upgrade_configs: [{ upgrade_type: websocket }]\n\
         common_http_protocol_options: { idle_timeout: 0s }\n\
         stream_idle_timeout: 0s\n\
         use_remote_address: false\n\
         tracing: { random_sampling: { value: 1 } }",
    )
    .unwrap();
    assert_eq!(found.routes, RouteSource::Rds("9080".into()));
    assert_eq!(found.rds_initial_fetch_timeout, Some(Duration::from_secs(15)));
    assert_eq!((found.idle_timeout, found.stream_idle_timeout), (None, None));
    assert!(found.websocket && found.generate_request_id);
    assert_eq!(&*found.server_name, "envoy");
    assert_eq!(found.http_filters, [HttpFilter::Router]);

    let rds = "rds: { route_config_name: r, config_source: { ads: {} } }\n";
    for (fields, expected) in [
        ("codec_type: HTTP3", "codec_type: found HTTP3"),
        ("normalize_path: true", "normalize_path: field is known but not honoured"),
        (
            "upgrade_configs: [{ upgrade_type: CONNECT }]",
            "upgrade_configs[0].upgrade_type: found \"CONNECT\"",
        ),
        ("tracing: { provider: { name: zipkin } }", "tracing.provider: field is known"),
        ("local_reply_config: {}", "local_reply_config: field is known"),
    ] {
        refused(manager(&format!("{rds}{fields}")), expected);
    }
    refused(manager(""), "missing: expected route_config or rds");
}

#[test]
fn inline_tables_name_clusters_that_exist() {
    let table = |cluster: &str, validate: &str| {
        format!(
            "route_config: {{ name: r, {validate} virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: {cluster} }} }}] }}] }}"
        )
    };
    assert!(manager(&table("known", "")).is_ok());
    assert!(manager(&table("unknown", "validate_clusters: false,")).is_ok());
    refused(
        manager(&table("unknown", "")),
        "filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0].route: found cluster \"unknown\", which does not exist",
    );
    // By RDS they may come later.
    assert!(route("{ match: { prefix: / }, route: { cluster: later } }").is_ok());
}

#[test]
fn access_logs_in_their_forms() {
    let logs = |log: &str| {
        manager(&format!("rds: {{ route_config_name: r, config_source: {{ ads: {{}} }} }}\naccess_log: [{{ name: l, typed_config: {log} }}]"))
            .map(|manager| (*manager.access_logs[0]).clone())
    };
    let file =
        r#""@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"#;
    let log = logs(&format!("{{ {file}, path: /dev/stdout, log_format: {{ json_format: {{ b: '%DURATION%', a: x }} }} }}")).unwrap();
    assert_eq!(log.target, LogTarget::Stdout);
    let duration = LogPart::Operator(LogOperator::Duration);
    let x = LogPart::Literal("x".to_owned());
    assert_eq!(
        log.format,
        LogFormat::Json(vec![("a".to_owned(), vec![x]), ("b".to_owned(), vec![duration])])
    );
    let stderr = r#"{ "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog }"#;
    assert_eq!(logs(stderr).unwrap().target, LogTarget::Stderr);
    let bad = format!(
        "{{ {file}, path: /tmp/x, log_format: {{ text_format_source: {{ inline_string: '%WHAT%' }} }} }}"
    );
    refused(logs(&bad), "access_log[0].typed_config.log_format.text_format_source: found %WHAT%");
}

#[test]
fn routes_in_their_forms() {
    let found = route(
        "{ match: { path_separated_prefix: /a, headers: [{ name: End-User, string_match: { exact: jason } }, { name: x }] },
           request_headers_to_add: [{ header: { key: x-b, value: '100%%' }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }],
           request_headers_to_remove: [x-c],
           route: { timeout: 0s, prefix_rewrite: /b, weighted_clusters: { clusters: [{ name: v1, weight: 50 }, { name: v3, weight: 50 }] },
                    retry_policy: { retry_on: 'connect-failure,refused-stream,unavailable', num_retries: 2 } } }",
    )
    .unwrap();
    assert_eq!(found.matcher.path, PathMatch::SeparatedPrefix("/a".to_owned()));
    assert_eq!(found.matcher.headers[0].name, "end-user");
    assert_eq!(found.matcher.headers[1].value, HeaderValueMatch::Present(true));
    assert!(matches!(&found.request_headers[0], HeaderOp::Remove(name) if name == "x-c"));
    assert!(matches!(&found.request_headers[1], HeaderOp::Set(_, value) if value == "100%"));
    let Action::Forward(forward) = &found.action else { panic!() };
    assert!(matches!(&forward.target, Target::Weighted { total: 100, .. }));
    assert_eq!(forward.timeout, None);
    let retry = forward.retry.as_ref().unwrap();
    assert!(retry.on.connect_failure && retry.on.grpc_unavailable && !retry.on.server_error);

    let direct = route(
        "{ match: { path: / }, direct_response: { status: 418, body: { inline_string: hi } } }",
    )
    .unwrap();
    assert_eq!(
        direct.action,
        Action::Direct(::http::StatusCode::IM_A_TEAPOT, bytes::Bytes::from_static(b"hi"))
    );
    let redirect = route("{ match: { prefix: / }, redirect: { https_redirect: true, response_code: PERMANENT_REDIRECT } }").unwrap();
    assert!(matches!(redirect.action, Action::Redirect(Redirect { scheme: Some(_), .. })));
}

#[test]
fn refuses_routes_that_make_no_sense() {
    for (fields, expected) in [
        (
            "{ match: { safe_regex: { regex: x } }, route: { cluster: c } }",
            "virtual_hosts[0].routes[0].match.safe_regex: field is known",
        ),
        ("{ match: { prefix: / } }", "routes[0]: missing: expected route, redirect"),
        (
            "{ match: { prefix: / }, route: { weighted_clusters: { clusters: [{ name: a, weight: 0 }] } } }",
            "weighted_clusters.clusters: the weights add up to 0",
        ),
        (
            "{ match: { prefix: / }, route: { weighted_clusters: { clusters: [{ name: a }] } } }",
            "clusters[0].weight: missing",
        ),
        (
            "{ match: { prefix: / }, route: { cluster: c, retry_policy: { retry_on: often } } }",
            "retry_policy.retry_on: found \"often\"",
        ),
        (
            "{ match: { prefix: / }, route: { cluster: c, timeout: -2s } }",
            "route.timeout: found -2s",
        ),
        (
            "{ match: { prefix: / }, direct_response: { status: 99 } }",
            "direct_response.status: found 99",
        ),
        (
            "{ match: { prefix: / }, route: { cluster: c }, response_headers_to_add: [{ header: { key: 'a b', value: x } }] }",
            "response_headers_to_add[0].header.key: found \"a b\"",
        ),
        (
            "{ match: { prefix: / }, route: { cluster: c }, request_headers_to_add: [{ header: { key: a, value: '%HOSTNAME%' } }] }",
            "command operators are not honoured here",
        ),
        (
            "{ match: { path_separated_prefix: /a/ }, route: { cluster: c } }",
            "path_separated_prefix: found \"/a/\"",
        ),
    ] {
        refused(route(fields), expected);
    }
    refused(
        routes("virtual_hosts: [{ name: a, domains: [A.b] }, { name: b, domains: [c, a.B] }]"),
        "virtual_hosts[1].domains[1]: found \"a.b\" for the second time",
    );
    refused(routes("virtual_hosts: [{ name: a, domains: ['*x*'] }]"), "domains[0]: found \"*x*\"");
    refused(
        routes(
            "{ validate_clusters: true, virtual_hosts: [{ name: a, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: gone } }] }] }",
        ),
        "found cluster \"gone\"",
    );
}

#[test]
fn a_route_takes_the_retry_policy_of_its_virtual_host() {
    let table = routes(
        "virtual_hosts: [{ name: a, domains: ['*'], retry_policy: { retry_on: 5xx }, include_request_attempt_count: true,
           routes: [{ match: { prefix: / }, route: { cluster: c } }, { match: { prefix: / }, route: { cluster: c, retry_policy: { retry_on: reset } } }] }]",
    )
    .unwrap();
    let host: &config::VirtualHost = &table.virtual_hosts[0];
    assert!(host.include_request_attempt_count);
    let on = |index: usize| match &host.routes[index].action {
        Action::Forward(forward) => forward.retry.as_ref().unwrap().on,
        _ => panic!(),
    };
    assert!(on(0).server_error);
    assert!(on(1).reset && !on(1).server_error);
}
