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
    assert_eq!(found.matcher.headers[0].name, "end-user");
    assert_eq!(found.matcher.headers[1].value, HeaderValueMatch::Present(true));
    assert_eq!(found.request_headers.removed(), ["x-c"]);
    let added = &found.request_headers.added()[0];
    assert_eq!(added.value, HeaderText::Literal(::http::HeaderValue::from_static("100%")));
    assert_eq!(added.action, AppendAction::Set);
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
            "{ match: { safe_regex: { regex: '(x' } }, route: { cluster: c } }",
            "virtual_hosts[0].routes[0].match.safe_regex.regex: found \"(x\": error: unclosed group",
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
    assert!(host.include_request_attempt_count);
    let on = |index: usize| match &host.routes[index].action {
        Action::Forward(forward) => forward.retry.as_ref().unwrap().on,
        _ => panic!(),
    };
    assert!(on(0).server_error);
    assert!(on(1).reset && !on(1).server_error);
}
