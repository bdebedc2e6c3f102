//! Which requests a route takes.

use mesh_model::{HeaderMatch, ValueMatch};

use super::super::Findings;
use super::{HttpMatch, StringMatch};

pub(super) fn of(
    findings: &mut Findings<'_>,
    route: &str,
    matches: &[HttpMatch],
) -> Vec<mesh_model::HttpMatch> {
    let numbered = matches.iter().enumerate();
    numbered.map(|(i, matcher)| one(findings, &format!("{route}.match[{i}]"), matcher)).collect()
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
    let uri = required("uri", &matcher.uri);
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
