//! HTTP filters, and what routes say of them.

use super::*;

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// A connection manager with this filter before the router: its type and its fields.
fn filter(kind: &str, fields: &str) -> Result<HttpFilter, String> {
    let router = "      - name: router";
    let own = format!(
        "      - {{ name: f, typed_config: {{ \"@type\": {HTTP}.{kind}, {fields} }} }}\n{router}"
    );
    let listener = listener(&http_listener(RDS).replace(router, &own))?;
    match &listener.filter_chains[0].filter {
        NetworkFilter::Http(manager) => Ok(manager.http_filters[0].clone()),
        _ => Err("another network filter".to_owned()),
    }
}

const RDS: &str = "rds: { route_config_name: r, config_source: { ads: {} } }";

/// What a route says of a filter.
fn override_of(settings: &str) -> Result<FilterOverride, String> {
    let route = route(&format!(
        "{{ match: {{ prefix: / }}, route: {{ cluster: c }}, typed_per_filter_config: {{ f: {settings} }} }}"
    ))?;
    Ok(route.filters[0].1.clone())
}

#[test]
fn filters_have_their_settings() {
    let buffer = filter("buffer.v3.Buffer", "max_request_bytes: 10").unwrap();
    assert_eq!((&*buffer.name, buffer.disabled), ("f", false));
    assert!(matches!(buffer.kind, FilterKind::Buffer(buffer) if buffer.max.get() == 10));
    let fault = "delay: { header_delay: {}, percentage: { numerator: 5 } }";
    let FilterKind::Fault(fault) = filter("fault.v3.HTTPFault", fault).unwrap().kind else {
        panic!()
    };
    let share = Fraction { numerator: 5, denominator: 100 };
    assert_eq!(fault.delay, Some(FaultKind { fixed: None, share }));
    let limit =
        "stat_prefix: s, token_bucket: { max_tokens: 3, fill_interval: 1s }, status: { code: OK }";
    let FilterKind::LocalRateLimit(limit) =
        filter("local_ratelimit.v3.LocalRateLimit", limit).unwrap().kind
    else {
        panic!()
    };
    assert_eq!(limit.status, ::http::StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((limit.bucket.unwrap().tokens_per_fill, limit.enabled), (1, None));
}

#[test]
fn refuses_filters_that_make_no_sense() {
    let path = "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config";
    for (kind, fields, expected) in [
        ("buffer.v3.Buffer", "", ".max_request_bytes: missing"),
        ("buffer.v3.Buffer", "max_request_bytes: 0", ".max_request_bytes: found 0"),
        ("fault.v3.HTTPFault", "abort: {}", ".abort: missing: expected http_status"),
        (
            "fault.v3.HTTPFault",
            "abort: { http_status: 199 }",
            ".abort.http_status: found 199, expected 200 to 599",
        ),
        (
            "fault.v3.HTTPFault",
            "delay: { fixed_delay: 0s }",
            ".delay.fixed_delay: found 0s, expected a duration of more",
        ),
        ("fault.v3.HTTPFault", "filter_metadata: { a: b }", ".filter_metadata: field is known"),
        ("health_check.v3.HealthCheck", "", ".pass_through_mode: missing"),
        (
            "health_check.v3.HealthCheck",
            "pass_through_mode: false, cache_time: 1s",
            ".cache_time: has no effect with pass_through_mode: false",
        ),
        (
            "local_ratelimit.v3.LocalRateLimit",
            "stat_prefix: s, token_bucket: { max_tokens: 1, fill_interval: 0.049s }",
            ".token_bucket.fill_interval: found 49ms, expected at least 50ms",
        ),
        (
            "local_ratelimit.v3.LocalRateLimit",
            "stat_prefix: s, token_bucket: { fill_interval: 1s }",
            ".token_bucket.max_tokens: found 0",
        ),
        (
            "local_ratelimit.v3.LocalRateLimit",
            "stat_prefix: s, descriptors: [{ entries: [{ key: a }] }]",
            ".descriptors: field is known but not honoured",
        ),
        (
            "header_mutation.v3.HeaderMutation",
            "mutations: { request_mutations: [{ remove: ':path' }] }",
            ".mutations.request_mutations[0].remove: found \":path\"",
        ),
        (
            "header_mutation.v3.HeaderMutation",
            "mutations: { query_parameter_mutations: [{}] }",
            ".mutations.query_parameter_mutations[0]: expected either append or remove",
        ),
        (
            "cors.v3.CorsPolicy",
            "",
            ": found envoy.extensions.filters.http.cors.v3.CorsPolicy, expected one of envoy",
        ),
    ] {
        refused(filter(kind, fields), &format!("{path}{expected}"));
    }
}

#[test]
fn routes_say_something_of_filters() {
    let config = "\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig";
    let cors = format!("\"@type\": {HTTP}.cors.v3.CorsPolicy, max_age: '5'");
    assert_eq!(
        override_of(&format!("{{ {config}, disabled: true }}")),
        Ok(FilterOverride::Disabled)
    );
    assert_eq!(override_of(&format!("{{ {config}, config: {{}} }}")), Ok(FilterOverride::Enabled));
    let wrapped = override_of(&format!("{{ {config}, config: {{ {cors} }} }}"));
    assert_eq!(wrapped, override_of(&format!("{{ {cors} }}")));
    assert!(matches!(wrapped, Ok(FilterOverride::Cors(policy)) if policy.max_age.is_some()));
    let path = "virtual_hosts[0].routes[0].typed_per_filter_config[\"f\"]";
    for (settings, expected) in [
        (format!("{{ {config} }}"), ".config: missing: expected the filter's settings"),
        (
            format!("{{ \"@type\": {HTTP}.buffer.v3.Buffer, max_request_bytes: 1 }}"),
            ": found envoy.extensions.filters.http.buffer.v3.Buffer, expected one of envoy",
        ),
        (
            format!("{{ \"@type\": {HTTP}.local_ratelimit.v3.LocalRateLimit, stat_prefix: s }}"),
            ".token_bucket: missing",
        ),
    ] {
        refused(override_of(&settings), &format!("{path}{expected}"));
    }
}
