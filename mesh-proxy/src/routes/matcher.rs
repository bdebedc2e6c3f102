//! Whether a request is what a route asks for.

use http::request::Parts;
use http::{HeaderName, header};

use crate::config::{
    HeaderMatch, HeaderValueMatch, PathMatch, RouteMatch, StringMatch, StringPattern,
};

/// Envoy's `RouteMatch`, ready to be asked.
#[derive(Debug)]
pub(crate) struct Matcher {
    path: PathMatch,
    case_sensitive: bool,
    headers: Box<[(Source, HeaderMatch)]>,
}

/// Where the value of a header match comes from.
#[derive(Debug)]
enum Source {
    Header(HeaderName),
    Authority,
    Method,
    Path,
    Scheme,
    /// Not a name that a header can have.
    Nowhere,
}

impl Matcher {
    pub(super) fn new(config: &RouteMatch) -> Self {
        Self {
            path: config.path.clone(),
            case_sensitive: config.case_sensitive,
            headers: config.headers.iter().map(|m| (Source::new(&m.name), m.clone())).collect(),
        }
    }

    pub(super) fn matches(&self, head: &Parts) -> bool {
        self.matches_path(head.uri.path())
            && self.headers.iter().all(|(source, header)| matches_header(source, header, head))
    }

    /// How much of a path that matches is what was matched, in bytes.
    pub(crate) fn matched_length(&self, path: &str) -> usize {
        match &self.path {
            PathMatch::Exact(_) => path.len(),
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

impl Source {
    fn new(name: &str) -> Self {
        match name {
            ":authority" => Self::Authority,
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":scheme" => Self::Scheme,
            name if name.eq_ignore_ascii_case("host") => Self::Authority,
            name => HeaderName::try_from(name).map_or(Self::Nowhere, Self::Header),
        }
    }

    /// Gives the value to `see`; several of one name joined by commas.
    fn with_value(&self, head: &Parts, see: impl FnOnce(Option<&[u8]>) -> bool) -> bool {
        match self {
            Self::Method => see(Some(head.method.as_str().as_bytes())),
            Self::Path => see(head.uri.path_and_query().map(|path| path.as_str().as_bytes())),
            Self::Scheme => see(Some(b"http")),
            Self::Authority => see(head.headers.get(header::HOST).map(|value| value.as_bytes())),
            Self::Nowhere => see(None),
            Self::Header(name) => {
                let mut values = head.headers.get_all(name).iter().map(|value| value.as_bytes());
                match (values.next(), values.next()) {
                    (first, None) => see(first),
                    (first, second) => {
                        let all: Vec<_> = first.into_iter().chain(second).chain(values).collect();
                        see(Some(&all.join(&b","[..])))
                    }
                }
            }
        }
    }
}

fn matches_header(source: &Source, header: &HeaderMatch, head: &Parts) -> bool {
    source.with_value(head, |value| match (&header.value, value) {
        (HeaderValueMatch::Present(wanted), value) => (value.is_some() == *wanted) != header.invert,
        // Envoy: a header that is not there matches nothing, not even the contrary.
        (_, None) if !header.missing_is_empty => false,
        (HeaderValueMatch::String(text), value) => {
            matches_string(text, value.unwrap_or_default()) != header.invert
        }
        (HeaderValueMatch::Range(from, to), value) => {
            let number = std::str::from_utf8(value.unwrap_or_default()).ok();
            let number = number.and_then(|text| text.parse::<i64>().ok());
            number.is_some_and(|number| (*from..*to).contains(&number)) != header.invert
        }
    })
}

fn matches_string(text: &StringMatch, value: &[u8]) -> bool {
    let equal = |a: &[u8], b: &str| match text.ignore_case {
        true => a.eq_ignore_ascii_case(b.as_bytes()),
        false => a == b.as_bytes(),
    };
    match &text.pattern {
        StringPattern::Exact(exact) => equal(value, exact),
        StringPattern::Prefix(start) => value.get(..start.len()).is_some_and(|v| equal(v, start)),
        StringPattern::Suffix(end) => {
            let at = value.len().checked_sub(end.len());
            at.is_some_and(|at| equal(&value[at..], end))
        }
        StringPattern::Contains(part) => {
            part.is_empty() || value.windows(part.len()).any(|window| equal(window, part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(path: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn by_path(path: PathMatch, case_sensitive: bool) -> Matcher {
        Matcher::new(&RouteMatch { path, case_sensitive, headers: Vec::new() })
    }

    fn by_header(value: HeaderValueMatch, invert: bool) -> Matcher {
        let name = "x-version".to_owned();
        let header = HeaderMatch { name, value, invert, missing_is_empty: false };
        Matcher::new(&RouteMatch {
            path: PathMatch::Prefix("/".into()),
            case_sensitive: true,
            headers: vec![header],
        })
    }

    #[test]
    fn paths() {
        let prefix = by_path(PathMatch::Prefix("/api".into()), true);
        let exact = by_path(PathMatch::Exact("/api".into()), true);
        let separated = by_path(PathMatch::SeparatedPrefix("/api".into()), true);
        let any_case = by_path(PathMatch::Prefix("/api".into()), false);
        for (path, expected) in [
            ("/api", [true, true, true, true]),
            ("/api?x=1", [true, true, true, true]),
            ("/api/v1", [true, false, true, true]),
            ("/apis", [true, false, false, true]),
            ("/API", [false, false, false, true]),
            ("/ap", [false, false, false, false]),
        ] {
            let head = head(path, &[]);
            let found = [&prefix, &exact, &separated, &any_case].map(|m| m.matches(&head));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn header_values() {
        let text =
            |pattern, ignore_case| HeaderValueMatch::String(StringMatch { pattern, ignore_case });
        let exact = by_header(text(StringPattern::Exact("v2".into()), false), false);
        let inverted = by_header(text(StringPattern::Exact("v2".into()), false), true);
        let contains = by_header(text(StringPattern::Contains("V".into()), true), false);
        let absent = by_header(HeaderValueMatch::Present(false), false);
        let range = by_header(HeaderValueMatch::Range(1, 3), false);
        for (headers, expected) in [
            (&[("x-version", "v2")][..], [true, false, true, false, false]),
            (&[("x-version", "v1"), ("x-version", "v2")], [false, true, true, false, false]),
            (&[("x-version", "2")], [false, true, false, false, true]),
            (&[("x-version", "3")], [false, true, false, false, false]),
            (&[], [false, false, false, true, false]),
        ] {
            let head = head("/", headers);
            let all = [&exact, &inverted, &contains, &absent, &range];
            assert_eq!(all.map(|m| m.matches(&head)), expected, "{headers:?}");
        }
    }
}
