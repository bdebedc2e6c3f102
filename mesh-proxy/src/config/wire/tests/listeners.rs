//! Listeners and connection managers.

use super::*;

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
        "filter_chains[1].filter_chain_match: overlaps with that of filter_chains[0]",
    );
    let ports = |first: &str, second: &str| {
        let chain = |protocols| {
            format!(
                "{{ {tcp}, filter_chain_match: {{ destination_port: 81, application_protocols: [{protocols}] }} }}"
            )
        };
        format!("{{ {address}, filter_chains: [{}, {}] }}", chain(first), chain(second))
    };
    refused(
        listener(&ports("h2c, http/1.1", "http/1.0, h2c")),
        "filter_chains[1].filter_chain_match: overlaps with that of filter_chains[0]",
    );
    for (first, second) in [("h2c", "http/1.1"), ("h2c", "")] {
        assert_eq!(listener(&ports(first, second)).unwrap().filter_chains.len(), 2);
    }
    refused(
        listener(&format!(
            "{{ {address}, filter_chains: [{{ {tcp}, filter_chain_match: {{ server_names: ['a*'] }} }}] }}"
        )),
        "filter_chains[0].filter_chain_match.server_names[0]: found \"a*\", expected a name such as",
    );
    refused(
        listener(&format!(
            "{{ {address}, filter_chains: [{{ {tcp}, filter_chain_match: {{ transport_protocol: quic }} }}] }}"
        )),
        "filter_chain_match.transport_protocol: found \"quic\", expected \"tls\" or \"raw_buffer\"",
    );
    refused(
        listener(&format!("{{ {address}, filter_chains: [{{ filters: [] }}] }}")),
        "filter_chains[0].filters: found none, expected one of",
    );
    refused(
        listener(&format!(
            r#"{{ {address}, listener_filters: [{{ name: t, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector, enable_ja3_fingerprinting: true }} }}], filter_chains: [{{ {tcp} }}] }}"#
        )),
        "listener_filters[0].typed_config.enable_ja3_fingerprinting: field is known",
    );
    refused(
        listener(&format!(
            "{{ {address}, listener_filters: [{{ name: envoy.filters.listener.proxy_protocol }}], filter_chains: [{{ {tcp} }}] }}"
        )),
        "listener_filters[0].typed_config: missing: expected one of envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    );
    let pipe = |fields: &str, more: &str| {
        listener(&format!(
            "{{ address: {{ pipe: {{ {fields} }} }}, filter_chains: [{{ {tcp} }}], {more} }}"
        ))
    };
    let found = pipe("path: /run/a.sock, mode: 0600", "").unwrap();
    assert_eq!((found.address, found.pipe_mode), (Address::Pipe("/run/a.sock".into()), 0o600));
    assert_eq!(&*pipe("path: '@a'", "").unwrap().name, "@a");
    assert!(!pipe("path: '@a'", "").unwrap().is_inbound);
    assert!(pipe("path: '@a'", "traffic_direction: INBOUND").unwrap().is_inbound);
    refused(
        pipe("path: a.sock", ""),
        "address.pipe.path: found \"a.sock\", expected /PATH or @NAME",
    );
    refused(pipe("path: /a, mode: 512", ""), "address.pipe.mode: found 512, expected at most 511");
    refused(pipe("path: /a", "use_original_dst: true"), "address.pipe: a Unix socket has no");
    let with =
        |more: &str| listener(&format!("{{ {address}, filter_chains: [{{ {tcp} }}], {more} }}"));
    let filter = |kind: &str, more: &str| {
        let package = "type.googleapis.com/envoy.extensions.filters.listener";
        format!("{{ name: f, typed_config: {{ '@type': {package}.{kind}, {more} }} }}")
    };
    let proxy = |more: &str| filter("proxy_protocol.v3.ProxyProtocol", more);
    let found = with(&format!("listener_filters: [{}]", proxy("disallowed_versions: [V2]")));
    let found = found.unwrap().proxy_protocol.unwrap();
    assert!(found.v1 && !found.v2 && !found.allow_requests_without_proxy_protocol);
    let inspector = filter("tls_inspector.v3.TlsInspector", "");
    refused(
        with(&format!("listener_filters: [{inspector}, {}]", proxy(""))),
        "listener_filters[1].typed_config: stands behind an inspector",
    );
    refused(
        with(&format!("listener_filters: [{}]", proxy("disallowed_versions: [V1, V2]"))),
        "listener_filters[0].typed_config.disallowed_versions: leaves no version",
    );
    assert!(with("connection_balance_config: { exact_balance: {} }").unwrap().exact_balance);
    refused(
        with("connection_balance_config: { extend_balance: { name: x } }"),
        "connection_balance_config.extend_balance: field is known",
    );
    let inspects = |matcher: &str| {
        let chain = format!("{{ {tcp}, filter_chain_match: {{ {matcher} }} }}");
        listener(&format!("{{ {address}, filter_chains: [{chain}] }}")).unwrap().tls_inspector
    };
    assert!(inspects("transport_protocol: tls") && inspects("server_names: [a]"));
    assert!(!inspects("transport_protocol: raw_buffer, application_protocols: [h2c]"));
    let unnamed = listener(&format!("{{ {address}, filter_chains: [{{ {tcp} }}] }}")).unwrap();
    assert_eq!(&*unnamed.name, "0.0.0.0:80");
}

#[test]
fn further_addresses_are_others_of_the_same_kind() {
    const TCP: &str = "{ filters: [{ name: t, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: p, cluster: c } }] }";
    let at = |address: &str, port: u16| {
        format!("address: {{ socket_address: {{ address: '{address}', port_value: {port} }} }}")
    };
    let with = |first: &str, more: &[String], fields: &str| {
        let more: Vec<_> = more.iter().map(|more| format!("{{ {more} }}")).collect();
        listener(&format!(
            "{{ {first}, additional_addresses: [{}], filter_chains: [{TCP}], {fields} }}",
            more.join(", ")
        ))
    };
    let first = at("0.0.0.0", 80);
    let found = with(&first, &[at("::", 80), at("0.0.0.0", 81)], "").unwrap();
    let found: Vec<_> = found.addresses().map(ToString::to_string).collect();
    assert_eq!(found, ["0.0.0.0:80", "[::]:80", "0.0.0.0:81"]);
    for (first, more, fields, expected) in [
        (&*first, vec![at("0.0.0.0", 80)], "", "additional_addresses[0].address: 0.0.0.0:80 is"),
        (&*first, vec![at("::", 80), at("::", 80)], "", "additional_addresses[1].address: [::]:80"),
        (&*first, vec![String::new()], "", "additional_addresses[0].address: missing"),
        (
            &*first,
            vec![at("a.b", 80)],
            "",
            "additional_addresses[0].address.socket_address.address",
        ),
        (&*first, vec![at("::", 0)], "bind_to_port: false", "port_value: found 0"),
        ("address: { pipe: { path: /a } }", vec![at("::", 80)], "", "additional_addresses: a Unix"),
    ] {
        refused(with(first, &more, fields), expected);
    }
    let keepalive = format!("{}, tcp_keepalive: {{}}", at("::", 80));
    refused(
        with(&first, &[keepalive], ""),
        "additional_addresses[0].tcp_keepalive: field is known",
    );
}

#[test]
fn limits_stand_before_the_filter_that_ends_the_chain() {
    const TCP: &str = "{ name: t, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: p, cluster: c } }";
    let limit = |more: &str| {
        format!(
            "{{ name: l, typed_config: {{ '@type': type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: s, {more} }} }}"
        )
    };
    let with = |filters: &str| {
        listener(&format!(
            "{{ address: {{ socket_address: {{ address: 0.0.0.0, port_value: 80 }} }}, filter_chains: [{{ filters: [{filters}] }}] }}"
        ))
    };
    let some = limit("max_connections: 5, delay: 0.5s");
    let found = with(&format!("{some}, {TCP}")).unwrap();
    let expected = ConnectionLimit {
        stat_prefix: "s".into(),
        max_connections: 5,
        delay: Some(std::time::Duration::from_millis(500)),
    };
    assert_eq!(found.filter_chains[0].connection_limits, [expected]);
    refused(with(&some), "filters[0].typed_config: does not end the chain");
    refused(with(&format!("{TCP}, {some}")), "filters[0].typed_config: stands before another");
    refused(
        with(&format!("{}, {TCP}", limit("max_connections: 0"))),
        "filters[0].typed_config.max_connections: found 0, expected 1 or more",
    );
    refused(
        with(&format!("{}, {TCP}", limit(""))),
        "filters[0].typed_config.max_connections: missing: it is required",
    );
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
    assert_eq!(found.upgrades.allow(b"WebSocket"), Some(true));
    assert!(found.generate_request_id);
    assert_eq!(&*found.server_name, "envoy");
    assert_eq!(found.http_filters, []);

    let rds = "rds: { route_config_name: r, config_source: { ads: {} } }\n";
    for (fields, expected) in [
        ("codec_type: HTTP3", "codec_type: found HTTP3"),
        ("add_user_agent: true", "add_user_agent: field is known but not honoured"),
        ("upgrade_configs: [{ upgrade_type: '' }]", "upgrade_configs[0].upgrade_type: missing"),
        ("tracing: { provider: { name: zipkin } }", "tracing.provider: field is known"),
        ("path_normalization_options: {}", "path_normalization_options: field is known"),
        ("local_reply_config: { mappers: [{}] }", "local_reply_config.mappers[0].filter: missing"),
        (
            "common_http_protocol_options: { max_headers_count: 16385 }",
            "common_http_protocol_options.max_headers_count: found 16385, expected from 1 to 16384",
        ),
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
    let log = logs(&format!("{{ {file}, path: /dev/stdout, log_format: {{ omit_empty_values: true, json_format: {{ b: [1, '%DURATION%'], a: x }} }} }}")).unwrap();
    assert_eq!(log.target, LogTarget::Stdout);
    let duration = FormatPart::Operator(Operator::Duration(Span::Whole), None);
    let duration = JsonValue::Text(Format(vec![duration]));
    let list = JsonValue::List(vec![JsonValue::Literal("1".to_owned()), duration]);
    let x = JsonValue::Text(Format(vec![FormatPart::Literal("x".to_owned())]));
    assert_eq!(log.format, LogFormat::Json(vec![("a".to_owned(), x), ("b".to_owned(), list)]));
    assert!(log.omit_empty);
    let stderr = r#"{ "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog }"#;
    assert_eq!(logs(stderr).unwrap().target, LogTarget::Stderr);
    let bad = format!(
        "{{ {file}, path: /tmp/x, log_format: {{ text_format_source: {{ inline_string: '%WHAT%' }} }} }}"
    );
    refused(logs(&bad), "access_log[0].typed_config.log_format.text_format_source: found %WHAT%");
}
