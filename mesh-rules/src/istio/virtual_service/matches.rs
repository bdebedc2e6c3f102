//! Which requests a route takes.

use mesh_model::{Attachment, HeaderMatch, PathMatch, ValueMatch};

use super::super::Findings;
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
                findings.add(path, "it is empty; write exact or prefix");
                None
            }
        }
    };
    let uri = required("uri", &matcher.uri).map(|uri| match uri {
        mesh_model::StringMatch::Exact(path) => PathMatch::Exact(path),
        mesh_model::StringMatch::Prefix(path) => PathMatch::Prefix(path),
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
    mesh_model::HttpMatch {
        path: uri,
        ignore_path_case: matcher.ignore_uri_case,
        method,
        headers,
        port: matcher.port,
        attached: Vec::new(),
    }
}

fn value(findings: &mut Findings<'_>, path: &str, text: &StringMatch) -> Option<ValueMatch> {
    use mesh_model::StringMatch::{Exact, Prefix};
    match (&text.exact, &text.prefix) {
        (None, None) => Some(ValueMatch::Present),
        (Some(exact), None) => Some(ValueMatch::Is(Exact(exact.clone()))),
        (None, Some(prefix)) => Some(ValueMatch::Is(Prefix(prefix.clone()))),
        (Some(_), Some(_)) => {
            findings.add(path, "exact and prefix exclude each other; keep one");
            None
        }
    }
}
