//! Whole files.

use super::*;

#[test]
fn takes_the_sample_file() {
    let sample = include_str!("../../../../../samples/static/front-proxy.yaml");
    let found = bootstrap(sample).unwrap();
    assert_eq!(found.admin, Some("127.0.0.1:15000".parse().unwrap()));
    assert_eq!(found.ads, None);
    assert_eq!(found.listeners[0].address.to_string(), "127.0.0.1:10000");
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
    assert!(bootstrap(inert).unwrap().limits.is_empty());
    let limits = |keys: &str| {
        bootstrap(&format!(
            "layered_runtime: {{ layers: [{{ name: l, static_layer: {{ {keys} }} }}] }}"
        ))
    };
    let found = limits(
        "overload: { global_downstream_max_connections: 9 }, envoy.resource_limits.listener.a.b.connection_limit: '3'",
    )
    .unwrap()
    .limits;
    assert_eq!((found.all, found.of_listener.get("a.b")), (Some(9), Some(&3)));
    refused(
        limits("overload.global_downstream_max_connections: many"),
        "static_layer.overload.global_downstream_max_connections: expected a whole number",
    );
    let quiet = "admin: { access_log_path: /dev/null, address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }";
    assert!(bootstrap(quiet).unwrap().admin.is_some());
}
