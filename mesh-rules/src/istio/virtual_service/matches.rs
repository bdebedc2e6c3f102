//! Which requests a route takes.

use mesh_model::{Attachment, HeaderMatch, PathMatch, QueryMatch, ValueMatch};

use super::super::{Findings, check_regex};
use super::{HttpMatch, StringMatch, attachment};

/// The matches of `route`, in a rule of `namespace` that is for what is taken at `places`.
pub(super) fn of(
    findings: &mut Findings<'_>,
    route: &str,
    matches: &[HttpMatch],
    namespace: &str,
    places: &[Attachment],
) -> Vec<mesh_model::HttpMatch> {
    let mut found = Vec::with_capacity(matches.len());
    for (i, matcher) in matches.iter().enumerate() {
        let path = format!("{route}.match[{i}]");
        let gateways = format!("{path}.gateways");
        let attached = attachment::of(findings, &gateways, &matcher.gateways, namespace);
        if let Some(at) = attached.iter().position(|place| !places.contains(place)) {
            let message = "it is not one of the rule's own gateways";
            findings.add(format!("{gateways}[{at}]"), message);
        }
        found.push(mesh_model::HttpMatch { attached, ..one(findings, &path, matcher) });
    }
    found
}

fn one(findings: &mut Findings<'_>, path: &str, matcher: &HttpMatch) -> mesh_model::HttpMatch {
    let mut required = |field: &str, text: &Option<StringMatch>| {
        let path = format!("{path}.{field}");
        match value(findings, &path, text.as_ref()?)? {
            ValueMatch::Is(text) => Some(text),
            ValueMatch::Present => {
                findings.add(path, "it is empty; write exact, prefix or regex");
                None
            }
        }
    };
    let uri = required("uri", &matcher.uri).map(|uri| match uri {
        mesh_model::StringMatch::Exact(path) => PathMatch::Exact(path),
        mesh_model::StringMatch::Prefix(path) => PathMatch::Prefix(path),
        mesh_model::StringMatch::Regex(path) => PathMatch::Regex(path),
    });
    let method = required("method", &matcher.method);
    let mut headers = Vec::new();
    for (field, conditions, invert) in
        [("headers", &matcher.headers, false), ("withoutHeaders", &matcher.without_headers, true)]
    {
        for (name, condition) in conditions {
            let path = format!("{path}.{field}.{name}");
            if let Some(value) = value(findings, &path, condition) {
                headers.push(HeaderMatch { name: name.to_ascii_lowercase(), value, invert });
            }
        }
    }
    let mut query = Vec::new();
    for (name, condition) in &matcher.query_params {
        let path = format!("{path}.queryParams.{name}");
        if let Some(value) = value(findings, &path, condition) {
            query.push(QueryMatch { name: name.clone(), value });
        }
    }
    mesh_model::HttpMatch {
        path: uri,
        ignore_path_case: matcher.ignore_uri_case,
        method,
        headers,
        query,
        port: matcher.port,
        attached: Vec::new(),
    }
}

fn value(findings: &mut Findings<'_>, path: &str, text: &StringMatch) -> Option<ValueMatch> {
    use mesh_model::StringMatch::{Exact, Prefix, Regex};
    match (&text.exact, &text.prefix, &text.regex) {
        (None, None, None) => Some(ValueMatch::Present),
        (Some(exact), None, None) => Some(ValueMatch::Is(Exact(exact.clone()))),
        (None, Some(prefix), None) => Some(ValueMatch::Is(Prefix(prefix.clone()))),
        (None, None, Some(regex)) => {
            check_regex(findings, &format!("{path}.regex"), regex);
            Some(ValueMatch::Is(Regex(regex.clone())))
        }
        _ => {
            findings.add(path, "exact, prefix and regex exclude each other; keep one");
            None
        }
    }
}
