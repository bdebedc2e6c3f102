//! What headers must look like.

use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, StatusCode};

use super::StringMatch;

/// Envoy's `HeaderMatcher`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderMatch {
    pub(crate) field: HeaderField,
    pub(crate) value: HeaderValueMatch,
    /// `invert_match`.
    pub(crate) invert: bool,
    /// `treat_missing_header_as_empty`.
    pub(crate) missing_is_empty: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderField {
    /// `:authority` is Host, and `:scheme` is in `x-forwarded-proto`.
    Named(HeaderName),
    /// `:method`, of a request.
    Method,
    /// `:path` with the query, of a request.
    Path,
    /// `:status`, of a response.
    Status,
}

/// What a header must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderValueMatch {
    /// `present_match`: true for there, false for absent.
    Present(bool),
    String(StringMatch),
    /// `range_match`: an integer from the first (inclusive) to the second (exclusive).
    Range(i64, i64),
}

/// What is looked at.
enum Message<'a> {
    Request(&'a Parts),
    Response(StatusCode, &'a HeaderMap),
}

impl HeaderMatch {
    /// Whether a request's head is as asked for.
    pub(crate) fn matches(&self, head: &Parts) -> bool {
        self.sees(&Message::Request(head))
    }

    /// Whether a response's head is as asked for.
    pub(crate) fn matches_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.sees(&Message::Response(status, headers))
    }

    /// As Envoy: of several values of one name any may match, each by itself, and the contrary
    /// matches when none does.
    fn sees(&self, message: &Message<'_>) -> bool {
        let is_there = self.field.any(message, |_| true);
        let matches = match &self.value {
            HeaderValueMatch::Present(wanted) => is_there == *wanted,
            // A header that is not there matches nothing, not even the contrary.
            _ if !is_there && !self.missing_is_empty => return false,
            _ if !is_there => self.value.takes(b""),
            value => self.field.any(message, |found| value.takes(found)),
        };
        matches != self.invert
    }
}

impl HeaderValueMatch {
    fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::String(text) => text.matches(value),
            Self::Range(from, to) => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                number.is_some_and(|number: i64| (*from..*to).contains(&number))
            }
        }
    }
}

impl HeaderField {
    /// Whether there is a value that `see` takes.
    fn any(&self, message: &Message<'_>, see: impl Fn(&[u8]) -> bool) -> bool {
        let headers = match message {
            Message::Request(head) => &head.headers,
            Message::Response(_, headers) => headers,
        };
        match (self, message) {
            (Self::Named(name), _) => headers.get_all(name).iter().any(|v| see(v.as_bytes())),
            (Self::Method, Message::Request(head)) => see(head.method.as_str().as_bytes()),
            (Self::Path, Message::Request(head)) => {
                head.uri.path_and_query().is_some_and(|path| see(path.as_str().as_bytes()))
            }
            (Self::Status, Message::Response(status, _)) => see(status.as_str().as_bytes()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Regex, StringPattern};

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(::http::Request::get("/a?b"), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.body(()).unwrap().into_parts().0
    }

    fn named(name: &'static str) -> HeaderField {
        HeaderField::Named(HeaderName::from_static(name))
    }

    fn matcher(field: HeaderField, value: HeaderValueMatch, invert: bool) -> HeaderMatch {
        HeaderMatch { field, value, invert, missing_is_empty: false }
    }

    fn text(pattern: StringPattern) -> HeaderValueMatch {
        HeaderValueMatch::String(StringMatch { pattern, ignore_case: false })
    }

    #[test]
    fn header_values() {
        let version = |value, invert| matcher(named("x-version"), value, invert);
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
            (&[("x-version", "v1"), ("x-version", "v2")], [true, false, true, true, false, false]),
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
        let empty = text(StringPattern::Exact(String::new()));
        let mut config = matcher(named("x"), empty, false);
        assert!(!config.matches(&head(&[])));
        config.missing_is_empty = true;
        assert!(config.matches(&head(&[])));
        assert!(!config.matches(&head(&[("x", "y")])));
    }

    #[test]
    fn the_first_line_has_names_of_its_own() {
        let exact = |field, value: &str| {
            matcher(field, text(StringPattern::Exact(value.to_owned())), false)
        };
        let head = head(&[("x", "y")]);
        assert!(exact(HeaderField::Method, "GET").matches(&head));
        assert!(exact(HeaderField::Path, "/a?b").matches(&head));
        assert!(!exact(HeaderField::Status, "200").matches(&head));
        let response =
            |config: &HeaderMatch| config.matches_response(StatusCode::OK, &head.headers);
        assert!(response(&exact(HeaderField::Status, "200")));
        assert!(response(&exact(named("x"), "y")));
        assert!(!response(&exact(HeaderField::Method, "GET")));
    }
}
