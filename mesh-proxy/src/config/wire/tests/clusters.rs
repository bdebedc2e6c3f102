//! Clusters and endpoints.

use super::*;

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
    assert_eq!(found.bind_addresses, ["127.0.0.6".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(found.protocol, HttpProtocol::Downstream);
    assert_eq!(found.idle_timeout, Some(Duration::from_secs(300)));
    let thresholds = Thresholds { max_connections: u32::MAX, ..Thresholds::default() };
    let default = Thresholds { track_remaining: true, ..thresholds };
    assert_eq!(found.breakers, Breakers { default, high: Thresholds::default() });

    let eds = cluster("{ name: c, type: EDS, eds_cluster_config: { service_name: s, eds_config: { ads: {}, initial_fetch_timeout: 0s } } }").unwrap();
    assert_eq!(eds.discovery, Discovery::Eds { service_name: "s".into() });
    assert_eq!(eds.initial_fetch_timeout, None);
    assert_eq!(eds.connect_timeout, Duration::from_secs(5));
}

#[test]
fn connections_come_from_one_address_of_each_family() {
    let with = |first: &str, extra: &str| {
        let first = match first {
            "" => String::new(),
            first => format!("source_address: {{ address: '{first}', port_value: 0 }}, "),
        };
        cluster(&format!(
            "{{ name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, upstream_bind_config: \
             {{ {first}extra_source_addresses: [{extra}] }} }}"
        ))
    };
    let extra = |address| format!("{{ address: {{ address: '{address}', port_value: 0 }} }}");
    let found: Vec<_> = with("127.0.0.6", &extra("::6")).unwrap().bind_addresses;
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.6", "::6"]);
    let path = "upstream_bind_config.extra_source_addresses";
    for (first, extra, expected) in [
        ("", extra("::6"), format!("{path}[0]: found without source_address")),
        ("::6", extra("::7"), format!("{path}[0].address: ::7 is of the family of ::6")),
        (
            "127.0.0.6",
            format!("{}, {}", extra("::6"), extra("::7")),
            format!("{path}[1]: found without source_address, or a second one"),
        ),
        ("::6", "{}".to_owned(), format!("{path}[0].address: missing")),
    ] {
        refused(with(first, &extra), &expected);
    }
}

#[test]
fn durations_have_a_limit_behind_which_no_time_can_be_told() {
    let with = |seconds| {
        let message = cluster_proto::Cluster {
            connect_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
            load_assignment: Some(endpoint_proto::ClusterLoadAssignment {
                cluster_name: "c".to_owned(),
                ..Default::default()
            }),
            name: "c".to_owned(),
            ..Default::default()
        };
        super::super::cluster(message, &Path::default()).map_err(|error| error.to_string())
    };
    let longest = with(315_576_000_000).unwrap().connect_timeout;
    assert!(std::time::Instant::now().checked_add(2 * longest).is_some());
    for seconds in [315_576_000_001, i64::MAX, -1] {
        refused(with(seconds), "connect_timeout: found");
    }
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
    let lookup = DnsLookup { family: DnsFamily::V4Only, ..DnsLookup::default() };
    let expected = |lookup: DnsLookup| Discovery::Dns {
        names: vec![DnsName {
            host: "web.example".to_owned(),
            template: Endpoint {
                hostname: Some("web.example".into()),
                ..endpoint("0.0.0.0:80", 3, EndpointHealth::Healthy)
            },
        }],
        policy: AssignmentPolicy::default(),
        lookup: Box::new(lookup),
    };
    let found = cluster(&with("type: STRICT_DNS\ndns_lookup_family: V4_ONLY")).unwrap();
    assert_eq!(found.discovery, expected(lookup.clone()));
    let newer = r#"cluster_type: { name: envoy.clusters.dns, typed_config: { "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, dns_lookup_family: V4_ONLY } }"#;
    assert_eq!(cluster(&with(newer)).unwrap().discovery, expected(lookup));
    refused(
        cluster(&with("type: STATIC")),
        "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: found \"web.example\", expected an IP address",
    );
    let logical = "type: LOGICAL_DNS\nrespect_dns_ttl: true\ndns_refresh_rate: 9s\ndns_failure_refresh_rate: { base_interval: 2s }\ndns_resolvers: [{ socket_address: { address: 10.0.0.53, port_value: 53 } }]";
    let seconds = Duration::from_secs;
    let lookup = DnsLookup {
        refresh: seconds(9),
        failure: Some((seconds(2), seconds(20))),
        respect_ttl: true,
        logical: true,
        resolver: DnsResolver {
            servers: vec!["10.0.0.53:53".parse().unwrap()],
            ..DnsResolver::default()
        },
        ..DnsLookup::default()
    };
    assert_eq!(cluster(&with(logical)).unwrap().discovery, expected(lookup));
    refused(
        cluster("{ name: c, type: LOGICAL_DNS, load_assignment: { cluster_name: c } }"),
        "load_assignment: found 0 endpoints, expected one",
    );
}

#[test]
fn load_balancing_policies() {
    let policy = |fields: &str| {
        cluster(&format!("{{ name: c, type: EDS, eds_cluster_config: {{ eds_config: {{ ads: {{}} }} }}, {fields} }}"))
            .map(|cluster| cluster.lb.policy)
    };
    assert_eq!(policy("lb_policy: RANDOM").unwrap(), LbPolicy::Random);
    assert_eq!(
        policy("lb_policy: LEAST_REQUEST, least_request_lb_config: { choice_count: 3 }").unwrap(),
        LbPolicy::LeastRequest(LeastRequest { choice_count: 3, ..LeastRequest::default() })
    );
    let typed = r#"load_balancing_policy: { policies: [
        { typed_extension_config: { name: x, typed_config: { "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest } } } ] }"#;
    assert_eq!(policy(typed).unwrap(), LbPolicy::LeastRequest(LeastRequest::default()));
    let ring =
        |minimum, function| LbPolicy::RingHash(RingHash { minimum, maximum: 8 << 20, function });
    assert_eq!(policy("lb_policy: RING_HASH").unwrap(), ring(1024, HashFunction::Xx));
    let fields = "lb_policy: RING_HASH, ring_hash_lb_config: { minimum_ring_size: 7, hash_function: MURMUR_HASH_2 }";
    assert_eq!(policy(fields).unwrap(), ring(7, HashFunction::Murmur2));
    refused(
        policy("lb_policy: RING_HASH, ring_hash_lb_config: { maximum_ring_size: 10 }"),
        "ring_hash_lb_config.minimum_ring_size: found 1024, expected no more than the maximum, 10",
    );
    refused(
        policy("lb_policy: MAGLEV, maglev_lb_config: { table_size: 15 }"),
        "maglev_lb_config.table_size: found 15, expected a prime number up to 5000011",
    );
    refused(
        policy("common_lb_config: { healthy_panic_threshold: { value: 101 } }"),
        "common_lb_config.healthy_panic_threshold.value: found 101, expected from 0 to 100",
    );
    let maglev = r#"load_balancing_policy: { policies: [
        { typed_extension_config: { name: x, typed_config: { "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev, table_size: 11 } } } ] }"#;
    assert_eq!(policy(maglev).unwrap(), LbPolicy::Maglev { table_size: 11 });
    refused(policy("lb_policy: CLUSTER_PROVIDED"), "a cluster of type ORIGINAL_DST takes");
    refused(
        policy(
            "round_robin_lb_config: { slow_start_config: { aggression: { default_value: 0 } } }",
        ),
        "round_robin_lb_config.slow_start_config.aggression.default_value: found 0, expected more",
    );
    refused(
        policy(
            "lb_subset_config: { subset_selectors: [{ keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a] }] }",
        ),
        "lb_subset_config.subset_selectors[0].fallback_keys_subset: expected some of the keys",
    );
}

#[test]
fn refuses_what_a_cluster_asks_for_in_vain() {
    for (fields, expected) in [
        ("outlier_detection: { monitors: [{ name: x }] }", "outlier_detection.monitors: field is"),
        ("outlier_detection: { interval: 0s }", "outlier_detection.interval: found 0s"),
        (
            "outlier_detection: { enforcing_success_rate: 101 }",
            "outlier_detection.enforcing_success_rate: found 101, expected 0 to 100",
        ),
        (
            "outlier_detection: { base_ejection_time: 9s, max_ejection_time: 5s }",
            "outlier_detection.max_ejection_time: found 5s, expected base_ejection_time or more",
        ),
        (
            "health_checks: [{ timeout: 1s, interval: 1s }]",
            "health_checks[0].unhealthy_threshold: missing: it is required",
        ),
        (
            "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: / , expected_statuses: [{ start: 200, end: 700 }] } }]",
            "health_checks[0].http_health_check.expected_statuses[0]: found 200 to 700, expected a range",
        ),
        (
            "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {} }]",
            "health_checks[0].grpc_health_check: expected only for a cluster that speaks HTTP/2",
        ),
        (
            "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: { send: { text: '0' } } }]",
            "tcp_health_check.send.text: found \"0\", expected pairs of hex digits",
        ),
        ("connect_timeout: 0s", "connect_timeout: found 0s"),
        (
            "connect_timeout: -1s",
            "connect_timeout: found -1s, expected a duration from 0s to 315576000000s",
        ),
        (
            "transport_socket: { name: tls }",
            "transport_socket.typed_config: missing: expected one of envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        ),
        (
            "circuit_breakers: { thresholds: [{ retry_budget: { budget_percent: { value: -1 } } }] }",
            "circuit_breakers.thresholds[0].retry_budget.budget_percent.value: found -1, expected from 0",
        ),
        (
            "circuit_breakers: { per_host_thresholds: [{ max_retries: 1 }] }",
            "circuit_breakers.per_host_thresholds[0].max_retries: field",
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
policy: { overprovisioning_factor: 120 }
endpoints:
- locality: { region: r }
  load_balancing_weight: 2
  lb_endpoints:
  - endpoint: { hostname: one, address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }
    metadata: { filter_metadata: { envoy.transport_socket_match: { tlsMode: istio }, envoy.lb: { v: '1', n: 1 } } }
  - endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }
  - endpoint: { address: { socket_address: { address: 'fd00::1', port_value: 80 } } }
    health_status: DRAINING
    load_balancing_weight: 4
- priority: 1
  lb_endpoints:
  - endpoint: { address: { socket_address: { address: 10.0.0.2, port_value: 80 } } }
    health_status: DEGRADED
",
    )
    .unwrap();
    let found = wire::load_assignment(message, &Path::default()).unwrap();
    let labels = Labels::from([("tlsMode".into(), "istio".into())]);
    let locality = Arc::new(Locality { region: "r".into(), weight: 2, ..Locality::default() });
    let with = |endpoint| Endpoint { locality: Arc::clone(&locality), ..endpoint };
    let lb_labels = Labels::from([("v".into(), "1".into()), ("n".into(), "\u{0}1.0".into())]);
    let first = endpoint("10.0.0.1:80", 1, EndpointHealth::Healthy);
    let first = Endpoint { labels, lb_labels, hostname: Some("one".into()), ..with(first) };
    let second = with(endpoint("[fd00::1]:80", 4, EndpointHealth::Draining));
    let third = endpoint("10.0.0.2:80", 1, EndpointHealth::Degraded);
    let expected = [first, second, Endpoint { priority: 1, ..third }];
    assert_eq!(found.endpoints, expected);
    assert_eq!(found.policy.overprovisioning_factor, 120);
    for (fields, expected) in [
        ("endpoints: [{ priority: 129 }]", "endpoints[0].priority: found 129, expected 0 to 128"),
        ("policy: { overprovisioning_factor: 0 }", "policy.overprovisioning_factor: found 0"),
        ("endpoints: [{ load_balancing_weight: 0 }]", "[0].load_balancing_weight: found 0"),
    ] {
        let message: endpoint_proto::ClusterLoadAssignment =
            text::from_yaml(&format!("{{ cluster_name: c, {fields} }}")).unwrap();
        let found = wire::load_assignment(message, &Path::default());
        refused(found.map_err(|error| error.to_string()), expected);
    }
}

fn endpoint(address: &str, weight: u32, health: EndpointHealth) -> Endpoint {
    Endpoint { weight, health, ..Endpoint::at(address.parse().unwrap()) }
}

#[test]
fn circuit_breakers_of_both_priorities() {
    let found = cluster(
        "
name: c
type: ORIGINAL_DST
lb_policy: CLUSTER_PROVIDED
circuit_breakers:
  thresholds:
  - { priority: HIGH, max_requests: 7, max_connection_pools: 2 }
  - { max_retries: 9, retry_budget: { min_retry_concurrency: 4 } }
  - { max_retries: 10 }
  per_host_thresholds: [{ max_connections: 5 }]
",
    )
    .unwrap();
    let budget = RetryBudget { percent: 20.0, min: 4 };
    let default = Thresholds {
        max_retries: 9,
        retry_budget: Some(budget),
        max_connections_per_host: 5,
        ..Thresholds::default()
    };
    let high = Thresholds { max_requests: 7, max_connection_pools: 2, ..Thresholds::default() };
    assert_eq!(found.breakers, Breakers { default, high });
}
