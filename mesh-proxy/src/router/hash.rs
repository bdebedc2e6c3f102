//! The hash of a request, by which it is kept at one endpoint.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Downstream, Stream};
use crate::config::{HashCookie, HashPolicy, HashSource, Substitution};
use crate::hash;
use crate::routes::query_parameter;

/// A hash, and the cookies that the response gives the client so that it keeps it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Hash {
    pub(super) value: Option<u64>,
    cookies: Vec<HeaderValue>,
}

impl Hash {
    /// The hash of a request by its route's policies, Envoy's exactly.
    pub(super) fn new(policies: &[HashPolicy], stream: &Stream) -> Self {
        let Stream { head, downstream, .. } = stream;
        let mut hash = Self::default();
        for policy in policies {
            let found = match &policy.source {
                HashSource::Header(name, rewrite) => header(&head.headers, name, rewrite.as_ref()),
                HashSource::Cookie(config) => hash.cookie(config, &head.headers, downstream),
                HashSource::SourceIp => Some(of(&stream.remote.ip().to_string())),
                HashSource::Query(name) => query_parameter(head.uri.query(), name).map(of),
            };
            // Rotated, so that two rules with the same hash do not cancel each other out.
            hash.value = match (hash.value, found) {
                (Some(before), Some(found)) => Some(before.rotate_left(1) ^ found),
                (before, found) => before.or(found),
            };
            if policy.terminal && hash.value.is_some() {
                break;
            }
        }
        hash
    }

    /// Gives the client its cookies.
    pub(super) fn give(self, headers: &mut HeaderMap) {
        for cookie in self.cookies {
            headers.append(SET_COOKIE, cookie);
        }
    }

    fn cookie(
        &mut self,
        config: &HashCookie,
        headers: &HeaderMap,
        downstream: &Downstream,
    ) -> Option<u64> {
        if let Some(value) = cookie_value(headers, &config.name).filter(|value| !value.is_empty()) {
            return Some(of(value));
        }
        config.ttl?;
        // The same for all requests of a connection, which may come at once.
        let connection = format!("{}{}", downstream.remote, downstream.local);
        let value = format!("{:016x}", of(&connection));
        self.cookies.extend(HeaderValue::try_from(config.header(&value)));
        Some(of(&value))
    }
}

fn of(text: &str) -> u64 {
    hash::xx64(text.as_bytes(), 0)
}

/// All values, in the order of their bytes.
fn header(headers: &HeaderMap, name: &HeaderName, rewrite: Option<&Substitution>) -> Option<u64> {
    let rewritten = |value: &HeaderValue| match rewrite {
        None => value.as_bytes().to_vec(),
        Some(rewrite) => {
            let text = value.to_str().ok().and_then(|text| rewrite.apply(text));
            text.map_or_else(|| value.as_bytes().to_vec(), String::into_bytes)
        }
    };
    let mut values: Vec<_> = headers.get_all(name).iter().map(rewritten).collect();
    values.sort_unstable();
    // Each is the seed of the next one.
    values.iter().fold(None, |seed, value| Some(hash::xx64(value, seed.unwrap_or(0))))
}

/// The value of the first cookie of this name, without quotes around it.
fn cookie_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookie| cookie.split(';')).filter_map(|p| p.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim() == name)?;
    let value = value.trim();
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn headers_count_in_any_order() {
        let name = HeaderName::from_static("x-a");
        let one = header(&headers(&[("x-a", "one"), ("x-a", "two")]), &name, None);
        assert_eq!(one, Some(hash::xx64(b"two", of("one"))));
        assert_eq!(header(&headers(&[("x-a", "two"), ("x-a", "one")]), &name, None), one);
        assert_eq!(header(&headers(&[]), &name, None), None);
        let rewrite = Substitution::new("^(.).*", r"\1").unwrap();
        assert_eq!(header(&headers(&[("x-a", "one")]), &name, Some(&rewrite)), Some(of("o")));
    }

    #[test]
    fn cookies_are_found() {
        let headers = headers(&[("cookie", "a=1; b=\"2\""), ("cookie", "c = 3;d")]);
        let value = |name| cookie_value(&headers, name);
        assert_eq!(["a", "b", "c", "d"].map(value), [Some("1"), Some("2"), Some("3"), None]);
    }
}
