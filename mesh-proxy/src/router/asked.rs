//! What a request itself says of retries and time limits, in Envoy's headers.
//!
//! The connection manager takes these headers from a client that is not to be believed.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};

use crate::config::{HeaderField, HeaderMatch, HeaderValueMatch, RetryPolicy};

const RETRY_ON: HeaderName = HeaderName::from_static("x-envoy-retry-on");
const RETRY_GRPC_ON: HeaderName = HeaderName::from_static("x-envoy-retry-grpc-on");
const MAX_RETRIES: HeaderName = HeaderName::from_static("x-envoy-max-retries");
const STATUS_CODES: HeaderName = HeaderName::from_static("x-envoy-retriable-status-codes");
const HEADER_NAMES: HeaderName = HeaderName::from_static("x-envoy-retriable-header-names");
const TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-ms");
const PER_TRY: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms");
const ALTERNATIVE: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-alt-response");

/// What takes the place of what the route says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// For the whole response; `Some(None)` for no limit.
    pub(super) timeout: Option<Option<Duration>>,
    pub(super) per_try: Option<Duration>,
    /// The route's policy with what the request adds.
    pub(super) retry: Option<RetryPolicy>,
    /// A timeout is answered with 204.
    pub(super) no_content: bool,
}

impl Asked {
    /// Takes the headers out of a request; `None` when there is none of them.
    pub(super) fn take(headers: &mut HeaderMap, route: Option<&RetryPolicy>) -> Option<Box<Self>> {
        // One look at the names, for all the requests that have none.
        if !headers.keys().any(|name| name.as_str().starts_with("x-envoy-")) {
            return None;
        }
        let mut take = |name| headers.remove(name).filter(|value| !value.is_empty());
        let timeout = take(TIMEOUT).as_ref().and_then(millis);
        let per_try = take(PER_TRY).as_ref().and_then(millis);
        let no_content = take(ALTERNATIVE).is_some();
        let on = [take(RETRY_ON), take(RETRY_GRPC_ON)];
        let [max, codes, names] = [MAX_RETRIES, STATUS_CODES, HEADER_NAMES].map(take);
        let asks_retry = on.iter().any(Option::is_some);
        let retry =
            (asks_retry || (route.is_some() && (max.is_some() || codes.is_some()))).then(|| {
                let mut policy = route.cloned().unwrap_or_default();
                // As in Envoy what nobody knows is passed over.
                items(&on).for_each(|condition| _ = policy.on.add(condition));
                if let Some(max) = max.as_ref().and_then(|max| max.to_str().ok()?.parse().ok()) {
                    policy.retries = max;
                }
                policy
                    .status_codes
                    .extend(items(&[codes]).filter_map(|c| c.parse::<StatusCode>().ok()));
                policy
                    .headers
                    .extend(items(&[names]).filter_map(|name| name.parse().ok()).map(present));
                policy
            });
        let asked = Self {
            timeout: timeout.map(|timeout| Some(timeout).filter(|limit| !limit.is_zero())),
            per_try: per_try.filter(|limit| !limit.is_zero()),
            retry,
            no_content,
        };
        (asked != Self::default()).then(|| Box::new(asked))
    }
}

fn millis(value: &http::HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.parse().ok().map(Duration::from_millis)
}

/// The items of lists with commas.
fn items(values: &[Option<http::HeaderValue>]) -> impl Iterator<Item = &str> {
    let texts = values.iter().flatten().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

fn present(name: HeaderName) -> HeaderMatch {
    HeaderMatch {
        field: HeaderField::Named(name),
        value: HeaderValueMatch::Present(true),
        invert: false,
        missing_is_empty: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn take(list: &[(&'static str, &'static str)]) -> (HeaderMap, Option<Box<Asked>>) {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers: HeaderMap = list.iter().map(pair).collect();
        let asked = Asked::take(&mut headers, None);
        (headers, asked)
    }

    #[test]
    fn headers_are_taken() {
        let (rest, asked) = take(&[
            ("x-envoy-retry-on", "5xx, retriable-headers,nonsense"),
            ("x-envoy-retry-grpc-on", "internal"),
            ("x-envoy-max-retries", "3"),
            ("x-envoy-retriable-status-codes", "418,x"),
            ("x-envoy-retriable-header-names", "X-Again"),
            ("x-envoy-upstream-rq-timeout-ms", "100"),
            ("x-envoy-upstream-rq-per-try-timeout-ms", "0"),
            ("x-envoy-attempt-count", "1"),
        ]);
        assert_eq!(rest.len(), 1);
        let asked = asked.unwrap();
        assert_eq!(asked.timeout, Some(Some(Duration::from_millis(100))));
        assert_eq!((asked.per_try, asked.no_content), (None, false));
        let policy = asked.retry.unwrap();
        assert!(policy.on.server_error && policy.on.retriable_headers && policy.on.grpc == 1 << 13);
        assert_eq!((policy.retries, policy.status_codes.len()), (3, 1));
        assert_eq!(policy.headers, [present(HeaderName::from_static("x-again"))]);
    }

    #[test]
    fn others_ask_for_nothing() {
        assert_eq!(take(&[("x-envoy-attempt-count", "1"), ("x-a", "b")]).1, None);
        assert_eq!(take(&[]).1, None);
        let (_, endless) = take(&[("x-envoy-upstream-rq-timeout-ms", "0")]);
        assert_eq!(endless.unwrap().timeout, Some(None));
    }
}
