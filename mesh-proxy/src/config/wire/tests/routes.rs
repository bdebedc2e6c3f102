//! Route tables.

use super::*;

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
    let matched = route(
        "{ match: { safe_regex: { google_re2: {}, regex: '/a.*' }, grpc: {}, runtime_fraction: { default_value: { numerator: 5, denominator: MILLION } },
                    query_parameters: [{ name: a }, { name: b, present_match: false }] }, route: { cluster: c } }",
    )
    .unwrap()
    .matcher;
    assert_eq!(matched.path, PathMatch::Regex(Regex::new("/a.*").unwrap()));
    assert_eq!(matched.fraction, Some(Fraction { numerator: 5, denominator: 1_000_000 }));
    assert!(matched.grpc);
    let values: Vec<_> = matched.query.into_iter().map(|query| query.value).collect();
    assert_eq!(values, [QueryValueMatch::Present(true), QueryValueMatch::Present(false)]);
    assert_eq!(found.matcher.path, PathMatch::SeparatedPrefix("/a".to_owned()));
    let user = ::http::HeaderName::from_static("end-user");
    assert_eq!(found.matcher.headers[0].field, HeaderField::Named(user));
    assert_eq!(found.matcher.headers[1].value, HeaderValueMatch::Present(true));
    assert_eq!(found.request_headers.removed(), ["x-c"]);
    let added = &found.request_headers.added()[0];
    assert_eq!(added.value, HeaderText::Literal(::http::HeaderValue::from_static("100%")));
    assert_eq!(added.action, AppendAction::Set);
    let Action::Forward(forward) = &found.action else { panic!() };
    assert!(matches!(&forward.target, Target::Weighted { total: 100, .. }));
    assert_eq!(forward.timeout, None);
    let retry = forward.retry.as_ref().unwrap();
    assert!(retry.on.connect_failure && retry.on.grpc == 1 << 14 && !retry.on.server_error);

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
            "{ match: { safe_regex: { regex: '(x' } }, route: { cluster: c } }",
            "virtual_hosts[0].routes[0].match.safe_regex.regex: found \"(x\": unclosed group",
        ),
        (
            "{ match: { prefix: /, query_parameters: [{ name: a }, { name: b, string_match: { safe_regex: {} } }] }, route: { cluster: c } }",
            "match.query_parameters[1].string_match.safe_regex.regex: missing",
        ),
        (
            "{ match: { prefix: /, runtime_fraction: { runtime_key: a } }, route: { cluster: c } }",
            "match.runtime_fraction.default_value: missing",
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
            "{ match: { prefix: / }, route: { cluster: c }, request_headers_to_add: [{ header: { key: a, value: '%UPSTREAM_METADATA(a:b)%' } }] }",
            "request_headers_to_add[0].header.value: found %UPSTREAM_METADATA(a:b)%, expected a command",
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
fn rewrites_in_their_forms() {
    let forward = |fields: &str| {
        let found = route(&format!("{{ match: {{ prefix: / }}, route: {{ {fields} }} }}"));
        found.map(|route| match route.action {
            Action::Forward(forward) => *forward,
            _ => panic!(),
        })
    };
    let regex = "{ pattern: { regex: '^/(.*)$' }, substitution: '\\1' }";
    let path = forward(&format!("cluster: c, regex_rewrite: {regex}")).unwrap().path_rewrite;
    let expected = || Substitution::new("^/(.*)$", "\\1").unwrap();
    assert_eq!(path, Some(Rewrite::Regex(expected())));
    let host = forward(&format!("cluster: c, host_rewrite_path_regex: {regex}")).unwrap();
    assert_eq!(host.host_rewrite, Some(HostRewrite::Path(expected())));
    let header = forward("cluster_header: ':authority', append_x_forwarded_host: true").unwrap();
    assert!(header.append_forwarded_host);
    assert_eq!(
        header.target,
        Target::Cluster(Destination::to(ClusterName::Header(::http::header::HOST)))
    );
    for (fields, expected) in [
        ("cluster: c, prefix_rewrite: /a, regex_rewrite: ", "has both prefix_rewrite and regex"),
        ("cluster: c, host_rewrite_header: 'a b'", "host_rewrite_header: found \"a b\""),
        ("cluster: c, host_rewrite_literal: 'a b'", "host_rewrite_literal: found \"a b\""),
        (
            "weighted_clusters: { clusters: [{ name: a, cluster_header: b, weight: 1 }] }",
            "clusters[0]: has both name and cluster_header",
        ),
        (
            "cluster: c, regex_rewrite: { pattern: { regex: a }, substitution: '\\1' }",
            "regex_rewrite.substitution: found \"\\\\1\": the pattern has 0 groups",
        ),
        ("cluster: c, regex_rewrite: { substitution: a }", "regex_rewrite.pattern: missing"),
    ] {
        let fields =
            if fields.ends_with(": ") { format!("{fields}{regex}") } else { fields.into() };
        refused(forward(&fields), expected);
    }
}

#[test]
fn a_route_takes_the_retry_policy_of_its_virtual_host() {
    let table = routes(
        "virtual_hosts: [{ name: a, domains: ['*'], retry_policy: { retry_on: 5xx }, include_request_attempt_count: true,
           routes: [{ match: { prefix: / }, route: { cluster: c } }, { match: { prefix: / }, route: { cluster: c, retry_policy: { retry_on: reset } } }] }]",
    )
    .unwrap();
    let host: &config::VirtualHost = &table.virtual_hosts[0];
    assert!(host.attempts.in_request && !host.attempts.in_response);
    let on = |index: usize| match &host.routes[index].action {
        Action::Forward(forward) => forward.retry.as_ref().unwrap().on,
        _ => panic!(),
    };
    assert!(on(0).server_error);
    assert!(on(1).reset && !on(1).server_error);
}

#[test]
fn how_much_of_a_request_is_kept() {
    let limit = |host: &str, route: &str| {
        let table = format!(
            "name: t\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  {host}\n  routes:\n  \
             - {{match: {{prefix: /}}, route: {{cluster: known}} {route}}}\n"
        );
        match &routes(&table).unwrap().virtual_hosts[0].routes[0].action {
            Action::Forward(forward) => forward.body_limit,
            other => panic!("{other:?}"),
        }
    };
    let (older, newer) = ("per_request_buffer_limit_bytes", "request_body_buffer_limit");
    assert_eq!(limit("", ""), None);
    assert_eq!(limit(&format!("{older}: 5"), ""), Some(5));
    assert_eq!(limit(&format!("{older}: 5"), &format!(", {older}: 6")), Some(6));
    assert_eq!(limit(&format!("{newer}: 5"), &format!(", {older}: 6")), Some(5));
    assert_eq!(limit(&format!("{newer}: 5"), &format!(", {newer}: 7, {older}: 6")), Some(7));
}

#[test]
fn retry_policies_in_full() {
    let policy = |fields: &str| {
        let fields = format!("cluster: c, retry_policy: {{ {fields} }}");
        let found = route(&format!("{{ match: {{ prefix: / }}, route: {{ {fields} }} }}"));
        found.map(|route| match route.action {
            Action::Forward(forward) => forward.retry.unwrap(),
            _ => panic!(),
        })
    };
    let previous = "{ name: p, typed_config: { '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate } }";
    let omit = previous
        .replace("previous_hosts", "omit_canary_hosts")
        .replace("PreviousHosts", "OmitCanaryHosts");
    let found = policy(&format!(
        "retry_on: 'retriable-headers,envoy-ratelimited,internal,http3-post-connect-failure', retriable_headers: [{{ name: ':status', string_match: {{ prefix: '4' }} }}],
         retriable_request_headers: [{{ name: ':method', string_match: {{ exact: GET }} }}], retry_host_predicate: [{previous}, {omit}], host_selection_retry_max_attempts: 3,
         rate_limited_retry_back_off: {{ reset_headers: [{{ name: Retry-After }}, {{ name: x-reset, format: UNIX_TIMESTAMP }}] }}"
    ))
    .unwrap();
    assert!(found.on.retriable_headers && found.on.envoy_ratelimited && found.on.grpc == 1 << 13);
    assert!(found.omit_canaries);
    assert_eq!(found.headers[0].field, HeaderField::Status);
    assert_eq!(found.request_headers[0].field, HeaderField::Method);
    let limited = found.rate_limited.unwrap();
    assert_eq!(limited.max, Duration::from_secs(300));
    assert_eq!(limited.headers[1].format, ResetFormat::UnixTimestamp);
    for (fields, expected) in [
        (
            "retry_host_predicate: [{ name: p, typed_config: { '@type': type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig } }]".to_owned(),
            "retry_host_predicate[0].typed_config: found envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, expected one of envoy.extensions.retry.host",
        ),
        (
            "rate_limited_retry_back_off: {}".to_owned(),
            "rate_limited_retry_back_off.reset_headers: missing",
        ),
        (
            "retriable_headers: [{ name: 'a b' }]".to_owned(),
            "retriable_headers[0].name: found \"a b\"",
        ),
    ] {
        refused(policy(&fields), expected);
    }
}

#[test]
fn time_limits_of_grpc() {
    let forward = |fields: &str| {
        let found =
            route(&format!("{{ match: {{ prefix: / }}, route: {{ cluster: c, {fields} }} }}"));
        found.map(|route| match route.action {
            Action::Forward(forward) => *forward,
            _ => panic!(),
        })
    };
    let old = forward("max_grpc_timeout: 0s, grpc_timeout_offset: 1s").unwrap();
    let limit = |max| Some(GrpcTimeout { max, offset: Duration::from_secs(1) });
    assert_eq!((old.grpc_timeout, old.stream_duration), (limit(None), None));
    let new = forward(
        "max_grpc_timeout: 2s, max_stream_duration: { max_stream_duration: 3s, grpc_timeout_header_max: 4s, grpc_timeout_header_offset: 1s }",
    )
    .unwrap();
    let (max, grpc) = (Some(Duration::from_secs(3)), limit(Some(Duration::from_secs(4))));
    let expected = (None, Some(StreamDuration { max, grpc }));
    assert_eq!((new.grpc_timeout, new.stream_duration), expected);
}

#[test]
fn a_number_of_the_request_chooses() {
    let chosen_by = |field: &str| {
        let fields =
            format!("weighted_clusters: {{ {field}, clusters: [{{ name: a, weight: 1 }}] }}");
        let found = route(&format!("{{ match: {{ prefix: / }}, route: {{ {fields} }} }}"));
        found.map(|route| match route.action {
            Action::Forward(forward) => forward.chosen_by,
            _ => panic!(),
        })
    };
    let name = ::http::HeaderName::from_static("x-number");
    assert_eq!(chosen_by("header_name: X-Number"), Ok(Some(name)));
    assert_eq!(chosen_by("use_hash_policy: false"), Ok(None));
    refused(
        chosen_by("use_hash_policy: true"),
        "weighted_clusters.use_hash_policy: field is known",
    );
}

#[test]
fn copies_of_requests() {
    let table = routes(
        "request_mirror_policies: [{ cluster: table }]
virtual_hosts:
- name: a
  domains: [a]
  routes: [{ match: { prefix: / }, route: { cluster: c } }]
- name: b
  domains: [b]
  request_mirror_policies: [{ cluster: host, disable_shadow_host_suffix_append: true }]
  routes:
  - { match: { prefix: /own }, route: { cluster: c, request_mirror_policies: [{ cluster_header: x-to, host_rewrite_literal: h, runtime_fraction: { default_value: { numerator: 1 } } }] } }
  - { match: { prefix: / }, route: { cluster: c } }",
    )
    .unwrap();
    let mirrors = |host: usize, index: usize| match &table.virtual_hosts[host].routes[index].action
    {
        Action::Forward(forward) => forward.mirrors.clone(),
        _ => panic!(),
    };
    let fixed = |name: &str, host| {
        vec![Mirror { cluster: ClusterName::Fixed(name.into()), fraction: None, host }]
    };
    assert_eq!(mirrors(0, 0), fixed("table", MirrorHost::Suffixed));
    assert_eq!(mirrors(1, 1), fixed("host", MirrorHost::Same));
    let own = Mirror {
        cluster: ClusterName::Header(::http::HeaderName::from_static("x-to")),
        fraction: Some(Fraction { numerator: 1, denominator: 100 }),
        host: MirrorHost::Literal(::http::HeaderValue::from_static("h")),
    };
    assert_eq!(mirrors(1, 0), vec![own]);
    for (fields, expected) in [
        ("{ cluster: a, cluster_header: b }", "[0]: has both cluster and cluster_header"),
        ("{}", "request_mirror_policies[0].cluster: missing"),
        (
            "{ cluster: a, request_headers_mutations: [{ remove: a }] }",
            "request_mirror_policies[0].request_headers_mutations: field is known",
        ),
    ] {
        let fields = format!("cluster: c, request_mirror_policies: [{fields}]");
        let found = route(&format!("{{ match: {{ prefix: / }}, route: {{ {fields} }} }}"));
        refused(found, expected);
    }
}

#[test]
fn endpoints_are_chosen_by_the_request() {
    let forward = |fields: &str| {
        let found = route(&format!("{{ match: {{ prefix: / }}, route: {{ {fields} }} }}"));
        found.map(|route| match route.action {
            Action::Forward(forward) => *forward,
            _ => panic!(),
        })
    };
    let found = forward(
        "cluster: c, priority: HIGH, auto_host_rewrite: true, metadata_match: { filter_metadata: { envoy.lb: { version: v1 }, other: { a: b } } },
         hash_policy: [{ header: { header_name: X-A }, terminal: true }, { cookie: { name: k, ttl: 60s, path: /p, attributes: [{ name: Secure }] } },
                       { connection_properties: { source_ip: true } }, { query_parameter: { name: q } }]",
    )
    .unwrap();
    assert_eq!(found.priority, RoutingPriority::High);
    assert_eq!(found.host_rewrite, Some(HostRewrite::Endpoint));
    let Target::Cluster(to) = &found.target else { panic!() };
    assert_eq!(to.subset, Labels::from([("version".into(), "v1".into())]));
    let sources: Vec<_> = found.hash.iter().map(|policy| &policy.source).collect();
    let header = HashSource::Header(::http::HeaderName::from_static("x-a"), None);
    let cookie = HashSource::Cookie(HashCookie {
        name: "k".into(),
        ttl: Some(Duration::from_secs(60)),
        path: "/p".into(),
        attributes: vec![("Secure".into(), String::new())],
    });
    assert_eq!(sources, [&header, &cookie, &HashSource::SourceIp, &HashSource::Query("q".into())]);
    assert!(found.hash[0].terminal && !found.hash[1].terminal);
    let weighted = forward(
        "metadata_match: { filter_metadata: { envoy.lb: { a: route, b: route } } },
         weighted_clusters: { clusters: [{ name: c, weight: 1, metadata_match: { filter_metadata: { envoy.lb: { b: own } } } }] }",
    )
    .unwrap();
    let to = weighted.target.choose(0).unwrap();
    let labels = [("a".into(), "route".into()), ("b".into(), "own".into())];
    assert_eq!(to.subset, Labels::from(labels));
    for (fields, expected) in [
        ("hash_policy: [{}]", "route.hash_policy[0]: missing: expected header"),
        ("hash_policy: [{ cookie: { name: \"a\\u0001\" } }]", "hash_policy[0].cookie: found"),
        (
            "hash_policy: [{ filter_state: { key: a } }]",
            "hash_policy[0].filter_state: field is known",
        ),
    ] {
        refused(forward(&format!("cluster: c, {fields}")), expected);
    }
}
