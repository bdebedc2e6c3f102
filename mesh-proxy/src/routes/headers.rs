//! Whether the headers of a request are as asked for.

use http::request::Parts;
use http::{HeaderName, header};

use crate::config::{HeaderMatch, HeaderValueMatch};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Envoy's `HeaderMatcher`, ready to be asked.
#[derive(Debug)]
pub(crate) struct HeaderMatcher {
    source: Source,
    config: HeaderMatch,
}

/// Where the value of a header match comes from.
#[derive(Debug)]
enum Source {
    Header(HeaderName),
    Method,
    Path,
    /// Not a name that a header can have.
    Nowhere,
}

impl HeaderMatcher {
    pub(crate) fn new(config: &HeaderMatch) -> Self {
        Self { source: Source::new(&config.name), config: config.clone() }
    }

    /// Whether a request's head is as asked for.
    pub(crate) fn matches(&self, head: &Parts) -> bool {
        let HeaderMatch { invert, missing_is_empty, .. } = self.config;
        self.source.with_value(head, |value| match (&self.config.value, value) {
            (HeaderValueMatch::Present(wanted), value) => (value.is_some() == *wanted) != invert,
            // Envoy: a header that is not there matches nothing, not even the contrary.
            (_, None) if !missing_is_empty => false,
            (HeaderValueMatch::String(text), value) => {
                text.matches(value.unwrap_or_default()) != invert
            }
            (HeaderValueMatch::Range(from, to), value) => {
                let number = std::str::from_utf8(value.unwrap_or_default()).ok();
                let number = number.and_then(|text| text.parse::<i64>().ok());
                number.is_some_and(|number| (*from..*to).contains(&number)) != invert
            }
        })
    }
}

impl Source {
    fn new(name: &str) -> Self {
        match name {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" => Self::Header(header::HOST),
            ":scheme" => Self::Header(FORWARDED_PROTO),
            name => HeaderName::try_from(name).map_or(Self::Nowhere, Self::Header),
        }
    }

    /// Gives the value to `see`; several of one name joined by commas.
    fn with_value(&self, head: &Parts, see: impl FnOnce(Option<&[u8]>) -> bool) -> bool {
        match self {
            Self::Method => see(Some(head.method.as_str().as_bytes())),
            Self::Path => see(head.uri.path_and_query().map(|path| path.as_str().as_bytes())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Regex, StringMatch, StringPattern};

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(http::Request::get("/a?b"), |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).unwrap().into_parts().0
    }

    fn matcher(name: &str, value: HeaderValueMatch, invert: bool) -> HeaderMatcher {
        HeaderMatcher::new(&HeaderMatch {
            name: name.to_owned(),
            value,
            invert,
            missing_is_empty: false,
        })
    }

    fn text(pattern: StringPattern) -> HeaderValueMatch {
        HeaderValueMatch::String(StringMatch { pattern, ignore_case: false })
    }

    #[test]
    fn header_values() {
        let version = |value, invert| matcher("x-version", value, invert);
        let exact = || text(StringPattern::Exact("v2".into()));
        let all = [
            version(exact(), false),
            version(exact(), true),
            version(text(StringPattern::Contains("v2".into())), false),
            version(text(StringPattern::Regex(Regex::new("v[0-9],?").unwrap())), false),
            version(HeaderValueMatch::Present(false), false),
            version(HeaderValueMatch::Range(1, 3), false),
        ];
        for (headers, expected) in [
            (&[("x-version", "v2")][..], [true, false, true, true, false, false]),
            (&[("x-version", "v1"), ("x-version", "v2")], [false, true, true, false, false, false]),
            (&[("x-version", "2")], [false, true, false, false, false, true]),
            (&[("x-version", "3")], [false, true, false, false, false, false]),
            (&[], [false, false, false, false, true, false]),
        ] {
            let head = head(headers);
            assert_eq!(all.each_ref().map(|m| m.matches(&head)), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_missing_header_can_be_an_empty_one() {
        let mut config = matcher("x", text(StringPattern::Exact("".into())), false).config;
        assert!(!HeaderMatcher::new(&config).matches(&head(&[])));
        config.missing_is_empty = true;
        assert!(HeaderMatcher::new(&config).matches(&head(&[])));
        assert!(!HeaderMatcher::new(&config).matches(&head(&[("x", "y")])));
    }

    #[test]
    fn the_parts_of_the_first_line_have_names_of_their_own() {
        let head = head(&[("host", "h"), ("x-forwarded-proto", "https")]);
        for (name, value) in
            [(":method", "GET"), (":path", "/a?b"), (":authority", "h"), (":scheme", "https")]
        {
            let exact = matcher(name, text(StringPattern::Exact(value.into())), false);
            assert!(exact.matches(&head), "{name}");
        }
    }
}
