//! Paths and hosts that change on their way.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::config::{Forward, HostRewrite, Rewrite};
use crate::routes::Matcher;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// The target of a request, with its query, whose path is rewritten. What is not to be
/// rewritten after all stays as it is.
fn rewritten(head: &Parts, matcher: &Matcher, rewrite: &Rewrite) -> String {
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = head.uri.path();
    let query = target.get(path.len()..).unwrap_or_default();
    match rewrite {
        Rewrite::Prefix(replacement) => {
            let rest = target.get(matcher.matched_length(path)..).unwrap_or_default();
            format!("{replacement}{rest}")
        }
        Rewrite::Regex(substitution) => match substitution.apply(path) {
            Some(path) => format!("{path}{query}"),
            None => target.to_owned(),
        },
    }
}

/// Changes the target of a request as its route says. A path that would be none stays.
pub(super) fn path(head: &mut Parts, matcher: &Matcher, rewrite: &Rewrite) {
    let before = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let original = HeaderValue::try_from(before);
    let rewritten = rewritten(head, matcher, rewrite);
    if let (true, Ok(rewritten)) = (rewritten.starts_with('/'), Uri::try_from(rewritten)) {
        head.uri = rewritten;
        if let Ok(original) = original {
            head.headers.insert(ORIGINAL_PATH, original);
        }
    }
}

/// Changes Host as the route says, and tells the one before.
pub(super) fn host(head: &mut Parts, config: &Forward) {
    let host = match &config.host_rewrite {
        None | Some(HostRewrite::Endpoint) => return,
        Some(HostRewrite::Literal(host)) => Some(host.clone()),
        Some(HostRewrite::Header(name)) => head.headers.get(name).cloned(),
        Some(HostRewrite::Path(substitution)) => {
            let host = substitution.apply(head.uri.path());
            host.and_then(|host| HeaderValue::try_from(host).ok())
        }
    };
    // It becomes the authority of an HTTP/2 request, too.
    let host = host.filter(|host| http::uri::Authority::try_from(host.as_bytes()).is_ok());
    if let Some(host) = host {
        set_host(&mut head.headers, host, config.append_forwarded_host);
    }
}

/// Makes Host the name of the endpoint that was chosen.
pub(super) fn host_of_endpoint(headers: &mut HeaderMap, name: &str, append_forwarded: bool) {
    if let Ok(host) = HeaderValue::from_str(name) {
        set_host(headers, host, append_forwarded);
    }
}

fn set_host(headers: &mut HeaderMap, host: HeaderValue, append_forwarded: bool) {
    let Some(before) = headers.insert(header::HOST, host) else { return };
    if append_forwarded {
        append_forwarded_host(headers, &before);
    }
    headers.insert(ORIGINAL_HOST, before);
}

/// As Envoy: not a second time when it is the last one already.
fn append_forwarded_host(headers: &mut HeaderMap, host: &HeaderValue) {
    let known = headers.get_all(FORWARDED_HOST).iter().map(HeaderValue::as_bytes);
    let known = known.collect::<Vec<_>>().join(&b","[..]);
    if known.rsplit(|byte| *byte == b',').next() == Some(host.as_bytes()) {
        return;
    }
    let all = if known.is_empty() { Vec::new() } else { [&known, &b","[..]].concat() };
    if let Ok(all) = HeaderValue::from_bytes(&[&all, host.as_bytes()].concat()) {
        headers.insert(FORWARDED_HOST, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PathMatch, Regex, RouteMatch, Substitution};

    fn head(target: &str) -> Parts {
        http::Request::get(target).header("host", "a").body(()).unwrap().into_parts().0
    }

    fn matcher(path: PathMatch) -> Matcher {
        Matcher::new(&RouteMatch { path, ..RouteMatch::default() })
    }

    #[test]
    fn what_matched_of_a_path_is_replaced() {
        let prefix = |to: &str| Rewrite::Prefix(to.to_owned());
        let regex = |from, to| Rewrite::Regex(Substitution::new(from, to).unwrap());
        for (path, rewrite, expected) in [
            (PathMatch::Prefix("/old".into()), prefix("/new"), "/new/x?y=/old"),
            (PathMatch::Prefix("/".into()), prefix("/new/"), "/new/old/x?y=/old"),
            (PathMatch::Exact("/old/x".into()), prefix("/new"), "/new?y=/old"),
            (PathMatch::Regex(Regex::new(".*").unwrap()), prefix("/new"), "/new?y=/old"),
            (PathMatch::Prefix("/".into()), regex("o(.)d", r"\1"), "/l/x?y=/old"),
        ] {
            let mut head = head("/old/x?y=/old");
            super::path(&mut head, &matcher(path), &rewrite);
            assert_eq!(head.uri, expected);
            assert_eq!(head.headers["x-envoy-original-path"], "/old/x?y=/old");
        }
        // Neither is a path.
        for rewrite in [regex("^/old", "old"), regex("x", " ")] {
            let mut head = head("/old/x");
            super::path(&mut head, &matcher(PathMatch::Prefix("/".into())), &rewrite);
            assert_eq!(head.uri, "/old/x");
        }
    }

    #[test]
    fn hosts_are_told() {
        let mut head = head("/");
        set_host(&mut head.headers, HeaderValue::from_static("b"), false);
        assert_eq!(head.headers["host"], "b");
        assert!(!head.headers.contains_key("x-forwarded-host"));
        assert_eq!(head.headers["x-envoy-original-host"], "a");
        for (host, expected) in [("c", "b"), ("c", "b,c"), ("d", "b,c")] {
            set_host(&mut head.headers, HeaderValue::from_static(host), true);
            assert_eq!(head.headers["x-forwarded-host"], expected);
        }
    }
}
