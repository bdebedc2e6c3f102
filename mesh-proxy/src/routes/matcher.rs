//! Whether a request is what a route asks for.

use http::Method;
use http::request::Parts;

use crate::codec::is_grpc;
use crate::config::{Fraction, HeaderMatch, PathMatch, QueryMatch, QueryValueMatch, RouteMatch};

/// Envoy's `RouteMatch`, ready to be asked.
#[derive(Debug)]
pub(crate) struct Matcher {
    path: PathMatch,
    case_sensitive: bool,
    /// What else there is to ask for; most routes have nothing.
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More {
    fraction: Option<Fraction>,
    grpc: bool,
    headers: Box<[HeaderMatch]>,
    query: Box<[QueryMatch]>,
}

impl Matcher {
    pub(crate) fn new(config: &RouteMatch) -> Self {
        let RouteMatch { path, case_sensitive, headers, query, fraction, grpc } = config;
        let has_more = !headers.is_empty() || !query.is_empty() || fraction.is_some() || *grpc;
        let more = has_more.then(|| {
            Box::new(More {
                fraction: *fraction,
                grpc: *grpc,
                headers: headers.clone().into(),
                query: query.clone().into(),
            })
        });
        Self { path: path.clone(), case_sensitive: *case_sensitive, more }
    }

    /// `path` is the request's, as far as it is to be matched; `random` a number of its own.
    pub(super) fn matches(&self, path: &str, head: &Parts, random: u64) -> bool {
        let more = |more: &More| more.matches(head, random);
        let is_connect = head.method == Method::CONNECT;
        let is_it = is_connect == matches!(self.path, PathMatch::Connect);
        is_it && self.matches_path(path) && self.more.as_deref().is_none_or(more)
    }

    /// How much of a path that matches is what was matched, in bytes.
    pub(crate) fn matched_length(&self, path: &str) -> usize {
        match &self.path {
            PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Connect => path.len(),
            PathMatch::Prefix(prefix) | PathMatch::SeparatedPrefix(prefix) => prefix.len(),
        }
    }

    fn matches_path(&self, path: &str) -> bool {
        match &self.path {
            PathMatch::Exact(exact) => self.equal(path, exact),
            PathMatch::Prefix(prefix) => self.begins_with(path, prefix),
            PathMatch::SeparatedPrefix(prefix) => {
                self.begins_with(path, prefix)
                    && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
            }
            PathMatch::Regex(regex) => regex.matches(path.as_bytes()),
            PathMatch::Connect => true,
        }
    }

    fn begins_with(&self, path: &str, prefix: &str) -> bool {
        let start = path.as_bytes().get(..prefix.len());
        start.is_some_and(|start| match self.case_sensitive {
            true => start == prefix.as_bytes(),
            false => start.eq_ignore_ascii_case(prefix.as_bytes()),
        })
    }

    fn equal(&self, path: &str, exact: &str) -> bool {
        if self.case_sensitive { path == exact } else { path.eq_ignore_ascii_case(exact) }
    }
}

impl More {
    fn matches(&self, head: &Parts, random: u64) -> bool {
        (!self.grpc || is_grpc(&head.headers))
            && self.headers.iter().all(|header| header.matches(head))
            && self.query.iter().all(|query| matches_query(query, head.uri.query()))
            && self.fraction.is_none_or(|fraction| fraction.takes(random))
    }
}

/// The first parameter of this name in a query. As in Envoy nothing is decoded.
pub(crate) fn query_parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let mut parameters = query.unwrap_or_default().split('&').filter(|text| !text.is_empty());
    parameters.find_map(|parameter| {
        let (found, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (found == name).then_some(value)
    })
}

fn matches_query(config: &QueryMatch, query: Option<&str>) -> bool {
    let value = query_parameter(query, &config.name);
    match &config.value {
        QueryValueMatch::Present(wanted) => value.is_some() == *wanted,
        QueryValueMatch::String(text) => value.is_some_and(|value| text.matches(value.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Regex, StringMatch, StringPattern};
    use http::Request;

    fn head(path: &str) -> Parts {
        Request::get(path).body(()).unwrap().into_parts().0
    }

    fn asks(config: &RouteMatch, head: &Parts) -> bool {
        Matcher::new(config).matches(head.uri.path(), head, 42)
    }

    #[test]
    fn paths() {
        let by =
            |path, case_sensitive| RouteMatch { path, case_sensitive, ..RouteMatch::default() };
        let all = [
            by(PathMatch::Prefix("/api".into()), true),
            by(PathMatch::Exact("/api".into()), true),
            by(PathMatch::SeparatedPrefix("/api".into()), true),
            by(PathMatch::Prefix("/api".into()), false),
            by(PathMatch::Regex(Regex::new("/api[s/].*").unwrap()), true),
        ];
        for (path, expected) in [
            ("/api", [true, true, true, true, false]),
            ("/api?x=1", [true, true, true, true, false]),
            ("/api/v1", [true, false, true, true, true]),
            ("/apis", [true, false, false, true, true]),
            ("/API", [false, false, false, true, false]),
            ("/ap", [false, false, false, false, false]),
        ] {
            let head = head(path);
            assert_eq!(all.each_ref().map(|config| asks(config, &head)), expected, "{path}");
        }
    }

    #[test]
    fn query_parameters() {
        let by = |value| RouteMatch {
            query: vec![QueryMatch { name: "a".into(), value }],
            ..RouteMatch::default()
        };
        let exact = StringMatch { pattern: StringPattern::Exact("1".into()), ignore_case: false };
        let all = [
            by(QueryValueMatch::Present(true)),
            by(QueryValueMatch::Present(false)),
            by(QueryValueMatch::String(exact)),
        ];
        for (path, expected) in [
            ("/", [false, true, false]),
            ("/?a", [true, false, false]),
            ("/?b=2&a=1", [true, false, true]),
            ("/?a=2&a=1", [true, false, false]),
            ("/?a=%31", [true, false, false]),
            ("/?ab=1", [false, true, false]),
        ] {
            let head = head(path);
            assert_eq!(all.each_ref().map(|config| asks(config, &head)), expected, "{path}");
        }
    }

    #[test]
    fn shares_and_grpc() {
        let share = |numerator| RouteMatch {
            fraction: Some(Fraction { numerator, denominator: 100 }),
            ..RouteMatch::default()
        };
        let mut head = head("/");
        assert!(asks(&share(100), &head) && !asks(&share(0), &head));
        let grpc = RouteMatch { grpc: true, ..RouteMatch::default() };
        assert!(!asks(&grpc, &head));
        let content_type = http::HeaderValue::from_static("application/grpc+proto");
        head.headers.insert(http::header::CONTENT_TYPE, content_type);
        assert!(asks(&grpc, &head));
    }
}
