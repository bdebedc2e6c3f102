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
    /// Several of one name are joined by a comma. `:authority` is Host, and `:scheme` is in
    /// `x-forwarded-proto`.
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

    fn sees(&self, message: &Message<'_>) -> bool {
        let Self { invert, missing_is_empty, .. } = *self;
        self.field.with_value(message, |value| match (&self.value, value) {
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

impl HeaderField {
    /// Gives the value to `see`.
    fn with_value(&self, message: &Message<'_>, see: impl FnOnce(Option<&[u8]>) -> bool) -> bool {
        let name = match (self, message) {
            (Self::Named(name), _) => name,
            (Self::Method, Message::Request(head)) => {
                return see(Some(head.method.as_str().as_bytes()));
            }
            (Self::Path, Message::Request(head)) => {
                return see(head.uri.path_and_query().map(|path| path.as_str().as_bytes()));
            }
            (Self::Status, Message::Response(status, _)) => {
                return see(Some(status.as_str().as_bytes()));
            }
            _ => return see(None),
        };
        let headers = match message {
            Message::Request(head) => &head.headers,
            Message::Response(_, headers) => headers,
        };
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
        match (values.next(), values.next()) {
            (first, None) => see(first),
            (first, second) => {
                let all: Vec<_> = first.into_iter().chain(second).chain(values).collect();
                see(Some(&all.join(&b","[..])))
            }
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
