//! Routes: from the model's to Envoy's.

use std::borrow::Cow;

use mesh_model::{
    Action, Attachment, Destination, HeaderChanges, HeaderMatch, HttpMatch, HttpRoute, PathMatch,
    QueryMatch, Redirect, Retries, Rewrite, Snapshot, StringMatch, TrafficRoute, ValueMatch,
    in_order,
};
use mesh_proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption, header_value_option};
use mesh_proto::envoy::config::route::v3 as wire_route;
use mesh_proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};
use wire_route::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use wire_route::{
    HeaderMatcher, QueryParameterMatcher, RedirectAction, RetryPolicy, Route, RouteAction,
    RouteMatch, WeightedCluster, header_matcher, query_parameter_matcher, redirect_action,
    route_match, weighted_cluster,
};

use super::{cluster, wire};

/// Only what is provably safe: no byte of the request was taken, or the other side says
/// that it did not process it. Anything more is the user's choice.
const SAFE_RETRIES: &str = "connect-failure,refused-stream,reset-before-request";

/// Every request to one cluster, once, without a limit of time.
pub(super) fn to_cluster(name: &str, cluster: &str) -> Route {
    let target = ClusterSpecifier::Cluster(cluster.to_owned());
    forward(name, any_path(), RouteAction { cluster_specifier: Some(target), ..no_limits() })
}

/// The route of a service without a rule.
pub(super) fn default(cluster: &str) -> Route {
    let target = ClusterSpecifier::Cluster(cluster.to_owned());
    let action = RouteAction {
        cluster_specifier: Some(target),
        retry_policy: retry_policy(None),
        ..no_limits()
    };
    forward("default", any_path(), action)
}

/// A rule, and which requests are asked about.
pub(super) struct Rule<'a> {
    pub(super) rule: &'a TrafficRoute,
    /// Where they are taken.
    pub(super) places: Vec<Attachment>,
    /// The port that they were sent to.
    pub(super) port: u16,
}

/// The routes of all rules for one host: one for each match, in the order in which they are tried.
pub(super) fn of_rules(snapshot: &Snapshot, rules: &[Rule<'_>]) -> Vec<Route> {
    let every = HttpMatch::default();
    let mut routes = Vec::new();
    for tried in in_order(&rules.iter().map(|rule| rule.rule).collect::<Vec<_>>()) {
        let Rule { places, port, .. } = &rules[tried.rule];
        let matcher = tried.matcher.unwrap_or(&every);
        let here = places.iter().any(|place| matcher.is_for(place));
        if here && matcher.port.is_none_or(|wanted| wanted == *port) {
            for (matcher, to) in rewritten(tried.route, matcher) {
                routes.push(route(snapshot, tried.route, &matcher, &to, *port));
            }
        }
    }
    routes
}

/// The matches of Envoy's that a match is, with what becomes of the path. Of `/a/b`, Envoy would
/// make `//b` when `/` is to take the place of `/a`.
fn rewritten<'a>(http: &HttpRoute, matcher: &'a HttpMatch) -> Vec<(Cow<'a, HttpMatch>, String)> {
    let to = match &http.action {
        Action::Forward { rewrite: Rewrite { path: Some(path), .. }, .. } => path,
        _ => return vec![(Cow::Borrowed(matcher), String::new())],
    };
    match &matcher.path {
        Some(PathMatch::Segments(prefix)) if to.is_empty() => {
            let below = PathMatch::Prefix(format!("{prefix}/"));
            let paths = [PathMatch::Exact(prefix.clone()), below].into_iter();
            let one = |path| HttpMatch { path: Some(path), ..matcher.clone() };
            paths.map(|path| (Cow::Owned(one(path)), "/".to_owned())).collect()
        }
        _ => vec![(Cow::Borrowed(matcher), to.clone())],
    }
}

/// The clusters that a route leads to.
pub(super) fn clusters(route: &Route) -> Vec<&str> {
    let Some(wire_route::route::Action::Route(action)) = &route.action else { return Vec::new() };
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => vec![name],
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.iter().map(|cluster| cluster.name.as_str()).collect()
        }
        _ => Vec::new(),
    }
}

/// Every request is sent to the same by HTTPS.
pub(super) fn to_https() -> Route {
    let https = redirect_action::SchemeRewriteSpecifier::HttpsRedirect(true);
    let redirect = RedirectAction { scheme_rewrite_specifier: Some(https), ..Default::default() };
    Route {
        name: "https".to_owned(),
        r#match: Some(any_path()),
        action: Some(wire_route::route::Action::Redirect(redirect)),
        ..Default::default()
    }
}

fn route(
    snapshot: &Snapshot,
    http: &HttpRoute,
    matcher: &HttpMatch,
    path: &str,
    port: u16,
) -> Route {
    let action = match &http.action {
        Action::Redirect(to) => wire_route::route::Action::Redirect(redirect(to)),
        Action::Forward { destinations, timeout, retries, rewrite } => {
            let host = rewrite.authority.clone().map(HostRewriteSpecifier::HostRewriteLiteral);
            wire_route::route::Action::Route(RouteAction {
                cluster_specifier: Some(target(snapshot, destinations, port)),
                timeout: Some(timeout.map_or_else(wire::no_timeout, wire::duration)),
                retry_policy: retry_policy(retries.as_ref()),
                prefix_rewrite: path.to_owned(),
                host_rewrite_specifier: host,
                ..Default::default()
            })
        }
    };
    let HttpRoute { request_headers, response_headers, .. } = http;
    Route {
        name: http.name.clone(),
        r#match: Some(route_match(matcher)),
        action: Some(action),
        request_headers_to_add: headers_to_add(request_headers),
        request_headers_to_remove: request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(response_headers),
        response_headers_to_remove: response_headers.remove.clone(),
        ..Default::default()
    }
}

fn headers_to_add(changes: &HeaderChanges) -> Vec<HeaderValueOption> {
    use header_value_option::HeaderAppendAction::{AppendIfExistsOrAdd, OverwriteIfExistsOrAdd};
    let set = changes.set.iter().map(|header| (header, OverwriteIfExistsOrAdd));
    let add = changes.add.iter().map(|header| (header, AppendIfExistsOrAdd));
    let option = |((key, value), action): (&(String, String), _)| HeaderValueOption {
        header: Some(HeaderValue { key: key.clone(), value: value.clone(), ..Default::default() }),
        append_action: i32::from(action),
        ..Default::default()
    };
    set.chain(add).map(option).collect()
}

fn forward(name: &str, matched: RouteMatch, action: RouteAction) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(matched),
        action: Some(wire_route::route::Action::Route(action)),
        ..Default::default()
    }
}

/// Envoy would end a request after 15 s.
fn no_limits() -> RouteAction {
    RouteAction { timeout: Some(wire::no_timeout()), ..Default::default() }
}

fn any_path() -> RouteMatch {
    route_match(&HttpMatch::default())
}

fn route_match(matcher: &HttpMatch) -> RouteMatch {
    use route_match::PathSpecifier;
    let path = match &matcher.path {
        None => PathSpecifier::Prefix("/".to_owned()),
        Some(PathMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(PathMatch::Prefix(path)) => PathSpecifier::Prefix(path.clone()),
        Some(PathMatch::Segments(path)) => PathSpecifier::PathSeparatedPrefix(path.clone()),
        Some(PathMatch::Regex(path)) => PathSpecifier::SafeRegex(regex(path)),
    };
    let method = matcher.method.as_ref().map(|method| HeaderMatcher {
        name: ":method".to_owned(),
        header_match_specifier: Some(string_header(method)),
        ..Default::default()
    });
    RouteMatch {
        path_specifier: Some(path),
        case_sensitive: matcher.ignore_path_case.then_some(false),
        headers: method.into_iter().chain(matcher.headers.iter().map(header)).collect(),
        query_parameters: matcher.query.iter().map(query).collect(),
        ..Default::default()
    }
}

fn header(header: &HeaderMatch) -> HeaderMatcher {
    let specifier = match &header.value {
        ValueMatch::Present => header_matcher::HeaderMatchSpecifier::PresentMatch(true),
        ValueMatch::Is(text) => string_header(text),
    };
    HeaderMatcher {
        name: header.name.clone(),
        invert_match: header.invert,
        // Envoy's match of a header that is not there fails, inverted or not; but a request
        // that must not have this value may have none, as in Istio.
        treat_missing_header_as_empty: header.invert && header.value != ValueMatch::Present,
        header_match_specifier: Some(specifier),
    }
}

fn query(query: &QueryMatch) -> QueryParameterMatcher {
    use query_parameter_matcher::QueryParameterMatchSpecifier;
    let specifier = match &query.value {
        ValueMatch::Present => QueryParameterMatchSpecifier::PresentMatch(true),
        ValueMatch::Is(text) => QueryParameterMatchSpecifier::StringMatch(string(text)),
    };
    QueryParameterMatcher {
        name: query.name.clone(),
        query_parameter_match_specifier: Some(specifier),
    }
}

fn string_header(text: &StringMatch) -> header_matcher::HeaderMatchSpecifier {
    header_matcher::HeaderMatchSpecifier::StringMatch(string(text))
}

fn string(text: &StringMatch) -> StringMatcher {
    use string_matcher::MatchPattern;
    let pattern = match text {
        StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
        StringMatch::Regex(text) => MatchPattern::SafeRegex(regex(text)),
    };
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

fn regex(text: &str) -> RegexMatcher {
    RegexMatcher { regex: text.to_owned(), ..Default::default() }
}

/// A destination with no share gets no cluster entry; Envoy would keep it for nothing.
fn target(snapshot: &Snapshot, destinations: &[Destination], port: u16) -> ClusterSpecifier {
    let mut shares = destinations.iter().filter(|destination| destination.weight > 0);
    if let (Some(only), None) = (shares.next(), shares.next()) {
        return ClusterSpecifier::Cluster(cluster_of(snapshot, only, port));
    }
    let clusters = destinations.iter().filter(|destination| destination.weight > 0);
    let clusters = clusters.map(|destination| weighted_cluster::ClusterWeight {
        name: cluster_of(snapshot, destination, port),
        weight: Some(destination.weight),
        ..Default::default()
    });
    ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters: clusters.collect(),
        ..Default::default()
    })
}

/// The port that the rule names, else the only one of the destination, else the one that
/// the client called: Istio's order.
fn cluster_of(snapshot: &Snapshot, destination: &Destination, called: u16) -> String {
    let only = || match snapshot.service(&destination.host)?.ports.as_slice() {
        [port] => Some(port.number),
        _ => None,
    };
    let port = destination.port.or_else(only).unwrap_or(called);
    let subset = destination.subset.as_deref().unwrap_or_default();
    cluster::outbound_name(port, subset, &destination.host)
}

/// `None` where the user wants none.
fn retry_policy(retries: Option<&Retries>) -> Option<RetryPolicy> {
    let Some(retries) = retries else {
        return Some(RetryPolicy {
            retry_on: SAFE_RETRIES.to_owned(),
            num_retries: Some(Retries::DEFAULT_ATTEMPTS),
            ..Default::default()
        });
    };
    let mut retry_on = retries.conditions.join(",");
    if !retries.status_codes.is_empty() {
        let separator = if retry_on.is_empty() { "" } else { "," };
        retry_on += separator;
        retry_on += "retriable-status-codes";
    }
    if retry_on.is_empty() {
        retry_on = SAFE_RETRIES.to_owned();
    }
    (retries.attempts > 0).then(|| RetryPolicy {
        retry_on,
        num_retries: Some(retries.attempts),
        per_try_timeout: retries.per_try_timeout.map(wire::duration),
        retriable_status_codes: retries.status_codes.iter().copied().map(u32::from).collect(),
        ..Default::default()
    })
}

fn redirect(to: &Redirect) -> RedirectAction {
    use redirect_action::{PathRewriteSpecifier, RedirectResponseCode};
    let code = match to.code {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    use redirect_action::SchemeRewriteSpecifier;
    RedirectAction {
        scheme_rewrite_specifier: to.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
        port_redirect: to.port.map(u32::from).unwrap_or_default(),
        host_redirect: to.authority.clone().unwrap_or_default(),
        path_rewrite_specifier: to.path.clone().map(PathRewriteSpecifier::PathRedirect),
        response_code: code.into(),
        ..Default::default()
    }
}
