//! Which requests a rule takes.

use mesh_model::{HttpMatch, HttpRoute, QueryMatch, StringMatch, ValueMatch};

use super::{HeaderMatch, Match, PathMatch};
use crate::istio::{Findings, check_regex};

pub(super) fn of(findings: &mut Findings<'_>, rule: &str, matches: &[Match]) -> Vec<HttpMatch> {
    let numbered = matches.iter().enumerate();
    numbered.map(|(i, matcher)| one(findings, &format!("{rule}.matches[{i}]"), matcher)).collect()
}

/// Keeps to the requests that were sent to `port`.
pub(super) fn only(routes: &mut [HttpRoute], port: u16) {
    for route in routes {
        if route.matches.is_empty() {
            route.matches.push(HttpMatch::default());
        }
        route.matches.iter_mut().for_each(|matcher| matcher.port = Some(port));
    }
}

fn one(findings: &mut Findings<'_>, path: &str, matcher: &Match) -> HttpMatch {
    let mut headers: Vec<mesh_model::HeaderMatch> = Vec::with_capacity(matcher.headers.len());
    for (i, matcher) in matcher.headers.iter().enumerate() {
        let found = header(findings, &format!("{path}.headers[{i}]"), matcher);
        // The API's rule: of several for one header the first counts.
        if headers.iter().all(|earlier| earlier.name != found.name) {
            headers.push(found);
        }
    }
    let mut query: Vec<QueryMatch> = Vec::with_capacity(matcher.query_params.len());
    for (i, matcher) in matcher.query_params.iter().enumerate() {
        let value = value(findings, &format!("{path}.queryParams[{i}]"), matcher);
        if query.iter().all(|earlier| earlier.name != matcher.name) {
            query.push(QueryMatch { name: matcher.name.clone(), value });
        }
    }
    HttpMatch {
        path: matcher
            .path
            .as_ref()
            .and_then(|at| path_match(findings, &format!("{path}.path"), at)),
        method: matcher.method.clone().map(StringMatch::Exact),
        headers,
        query,
        ..HttpMatch::default()
    }
}

fn path_match(
    findings: &mut Findings<'_>,
    path: &str,
    matcher: &PathMatch,
) -> Option<mesh_model::PathMatch> {
    let value = matcher.value.as_deref().unwrap_or("/");
    let found = match matcher.kind.as_deref().unwrap_or("PathPrefix") {
        "PathPrefix" => {
            // `/foo/` takes what `/foo` takes; `/` everything.
            let prefix = value.strip_suffix('/').unwrap_or(value);
            (!prefix.is_empty()).then(|| mesh_model::PathMatch::Segments(prefix.to_owned()))
        }
        "Exact" => Some(mesh_model::PathMatch::Exact(value.to_owned())),
        "RegularExpression" => {
            check_regex(findings, &format!("{path}.value"), value);
            return Some(mesh_model::PathMatch::Regex(value.to_owned()));
        }
        other => {
            let message = format!(
                "\"{other}\" is not supported yet; there are PathPrefix, Exact and \
                 RegularExpression"
            );
            findings.add(format!("{path}.type"), message);
            return None;
        }
    };
    if !value.starts_with('/') {
        findings
            .add(format!("{path}.value"), format!("\"{value}\" is no path; it begins with \"/\""));
    }
    found
}

fn header(
    findings: &mut Findings<'_>,
    path: &str,
    matcher: &HeaderMatch,
) -> mesh_model::HeaderMatch {
    mesh_model::HeaderMatch {
        name: matcher.name.to_ascii_lowercase(),
        value: value(findings, path, matcher),
        invert: false,
    }
}

fn value(findings: &mut Findings<'_>, path: &str, matcher: &HeaderMatch) -> ValueMatch {
    let text = matcher.value.clone();
    ValueMatch::Is(match matcher.kind.as_deref().unwrap_or("Exact") {
        "Exact" => StringMatch::Exact(text),
        "RegularExpression" => {
            check_regex(findings, &format!("{path}.value"), &text);
            StringMatch::Regex(text)
        }
        other => {
            let message =
                format!("\"{other}\" is not supported yet; there are Exact and RegularExpression");
            findings.add(format!("{path}.type"), message);
            StringMatch::Exact(text)
        }
    })
}
