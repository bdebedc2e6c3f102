//! In which order the routes of several rules are tried.

use std::cmp::Reverse;

use crate::{HttpMatch, HttpRoute, Order, PathMatch, TrafficRoute};

/// One match of a route.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The position of the route's rule.
    pub rule: usize,
    /// The route.
    pub route: &'a HttpRoute,
    /// `None`: it takes every request.
    pub matcher: Option<&'a HttpMatch>,
}

/// The routes of `rules`, which are for one host, in the order in which they are tried. Rules
/// that are tried as they are written come first.
pub fn in_order<'a>(rules: &[&'a TrafficRoute]) -> Vec<Tried<'a>> {
    let mut found = Vec::new();
    let mut by_specificity = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        for route in &rule.http {
            let matches = route.matches.iter().map(Some);
            let every = route.matches.is_empty().then_some(None);
            let tried = matches.chain(every);
            let tried = tried.map(|matcher| Tried { rule: position, route, matcher });
            match &rule.order {
                Order::AsWritten => found.extend(tried),
                Order::MostSpecific { created } => {
                    // What has no time is younger than what has one.
                    let age = (created.is_none(), created.as_deref(), &rule.name);
                    by_specificity.extend(tried.map(|one| (rank(one.matcher), age, one)));
                }
            }
        }
    }
    // Stable: what is the same in all stays as it is written.
    by_specificity.sort_by(|a, b| (&a.0, order(a.1)).cmp(&(&b.0, order(b.1))));
    found.extend(by_specificity.into_iter().map(|(_, _, one)| one));
    found
}

type Age<'a> = (bool, Option<&'a str>, &'a crate::ServiceName);

fn order((unknown, created, name): Age<'_>) -> (bool, Option<&str>, &str, &str) {
    (unknown, created, &name.namespace, &name.name)
}

/// The Gateway API's order: an exact path, the longest prefix, a method, the most headers, the
/// most query parameters. Where regular expressions are in it is ours to say: before prefixes.
fn rank(matcher: Option<&HttpMatch>) -> (u8, Reverse<usize>, bool, Reverse<usize>, Reverse<usize>) {
    let (kind, length) = match matcher.and_then(|matcher| matcher.path.as_ref()) {
        Some(PathMatch::Exact(_)) => (0, 0),
        Some(PathMatch::Regex(_)) => (1, 0),
        Some(PathMatch::Prefix(prefix) | PathMatch::Segments(prefix)) => (2, prefix.len()),
        None => (2, 0),
    };
    let headers = matcher.map_or(0, |matcher| matcher.headers.len());
    let no_method = matcher.is_none_or(|matcher| matcher.method.is_none());
    let query = matcher.map_or(0, |matcher| matcher.query.len());
    (kind, Reverse(length), no_method, Reverse(headers), Reverse(query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Attachment, HeaderMatch, Redirect, ServiceName, StringMatch, ValueMatch};

    fn rule(name: &str, created: Option<&str>, matches: Vec<HttpMatch>) -> TrafficRoute {
        let route = |matcher| HttpRoute {
            name: name.to_owned(),
            matches: vec![matcher],
            action: Action::Redirect(Redirect {
                path: None,
                authority: None,
                scheme: None,
                port: None,
                code: 301,
            }),
            request_headers: Default::default(),
            response_headers: Default::default(),
        };
        TrafficRoute {
            name: ServiceName { name: name.to_owned(), namespace: "shop".to_owned() },
            hosts: Vec::new(),
            clients: None,
            attached: vec![Attachment::Mesh],
            order: Order::MostSpecific { created: created.map(str::to_owned) },
            http: matches.into_iter().map(route).collect(),
        }
    }

    fn path(path: PathMatch) -> HttpMatch {
        HttpMatch { path: Some(path), ..Default::default() }
    }

    fn prefix(text: &str) -> HttpMatch {
        path(PathMatch::Segments(text.to_owned()))
    }

    #[test]
    fn what_says_most_of_a_request_is_tried_first() {
        let exact = path(PathMatch::Exact("/a".to_owned()));
        let method =
            HttpMatch { method: Some(StringMatch::Exact("GET".to_owned())), ..prefix("/a") };
        let header =
            HeaderMatch { name: "x".to_owned(), value: ValueMatch::Present, invert: false };
        let headers = HttpMatch { headers: vec![header], ..prefix("/a") };
        let every = HttpMatch::default();
        let expected = [exact, prefix("/a/b"), method, headers, prefix("/a"), every];
        let mut written = expected.to_vec();
        written.reverse();
        let rule = rule("a", None, written);
        let found: Vec<_> = in_order(&[&rule]).into_iter().filter_map(|one| one.matcher).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>());
    }

    #[test]
    fn of_the_same_the_older_rule_counts_then_the_name() {
        let same = || vec![prefix("/a")];
        let unknown = rule("a", None, same());
        let young = rule("b", Some("2026-01-02T00:00:00Z"), same());
        let old = rule("d", Some("2026-01-01T00:00:00Z"), same());
        let as_old = rule("c", Some("2026-01-01T00:00:00Z"), same());
        let found = in_order(&[&unknown, &young, &old, &as_old]);
        let names: Vec<_> = found.iter().map(|one| one.route.name.as_str()).collect();
        assert_eq!(names, ["c", "d", "b", "a"]);
        let mut istios = rule("z", None, same());
        istios.order = Order::AsWritten;
        assert_eq!(in_order(&[&old, &istios])[0].route.name, "z");
    }
}
