//! How long a request may take, as its route and the request itself say.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Stream;
use super::asked::Asked;
use crate::codec::{grpc_timeout, grpc_timeout_value, is_grpc};
use crate::config::{Forward, GrpcTimeout};
use crate::routes::CompiledForward;

const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The limits of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// From the end of the request to the end of the response.
    pub(super) response: Option<Duration>,
    /// From the beginning of the request to the end of the response.
    pub(super) whole: Option<Duration>,
    /// For each try.
    pub(super) per_try: Option<Duration>,
}

impl Limits {
    /// The limits of a request; what it is told of them goes into its headers.
    /// `asked` is what the request asks for.
    pub(super) fn new(
        stream: &mut Stream,
        forward: &CompiledForward,
        asked: Option<&Asked>,
    ) -> Self {
        let config = &forward.config;
        let of_manager = stream.max_duration;
        let headers = &mut stream.head.headers;
        let whole = whole(headers, config, of_manager);
        let grpc = config.grpc_timeout.as_ref().filter(|_| is_grpc(headers));
        let response = match grpc {
            Some(limit) => of_grpc(headers, limit),
            None => config.timeout,
        };
        let response = asked.and_then(|asked| asked.timeout).unwrap_or(response);
        let per_try = config.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        let per_try = asked.and_then(|asked| asked.per_try).or(per_try);
        let limits = Self {
            response,
            whole,
            // A try cannot take longer than all of them.
            per_try: per_try.filter(|try_| response.is_none_or(|response| *try_ < response)),
        };
        match &forward.expected_timeout {
            _ if grpc.is_some() || asked.is_some() => limits.tell(headers, config, Duration::ZERO),
            Some(expected) => _ = headers.insert(EXPECTED_TIMEOUT, expected.clone()),
            None => {}
        }
        limits
    }

    /// Tells the upstream how long it has, `elapsed` after the request began.
    pub(super) fn tell(self, headers: &mut HeaderMap, config: &Forward, elapsed: Duration) {
        let rest = self.response.map(|response| response.saturating_sub(elapsed));
        let Some(expected) = self.per_try.into_iter().chain(rest).min() else { return };
        // Zero would be no limit.
        let expected = expected.max(Duration::from_millis(1));
        headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(expected.as_millis() as u64));
        if config.grpc_timeout.is_some() && is_grpc(headers) {
            headers.insert(GRPC_TIMEOUT, grpc_timeout_value(expected));
        }
    }
}

/// `max_stream_duration`, or what `grpc-timeout` says instead.
fn whole(
    headers: &mut HeaderMap,
    config: &Forward,
    of_manager: Option<Duration>,
) -> Option<Duration> {
    let Some(config) = &config.stream_duration else { return of_manager };
    let asked = grpc_timeout(headers);
    let limited = match (asked, &config.grpc) {
        (Some(asked), Some(limit)) => {
            let limited = limit.max.map_or(asked, |max| asked.min(max));
            Some(limited.saturating_sub(limit.offset))
        }
        _ => config.max,
    };
    if let Some(limited) = limited.filter(|_| asked.is_some() || is_grpc(headers)) {
        headers.insert(GRPC_TIMEOUT, grpc_timeout_value(limited));
    }
    limited
}

/// `max_grpc_timeout`: here no `grpc-timeout`, and 0, are no limit of their own, and an
/// offset that would make one of it is not applied.
fn of_grpc(headers: &HeaderMap, limit: &GrpcTimeout) -> Option<Duration> {
    let asked = grpc_timeout(headers).filter(|asked| !asked.is_zero());
    let asked = asked.map(|asked| match asked.checked_sub(limit.offset) {
        Some(Duration::ZERO) | None => asked,
        Some(less) => less,
    });
    asked.into_iter().chain(limit.max).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn headers(timeout: Option<&'static str>) -> HeaderMap {
        let timeout = timeout.map(|value| (GRPC_TIMEOUT, HeaderValue::from_static(value)));
        timeout.into_iter().collect()
    }

    #[test]
    fn an_old_limit_is_for_what_the_client_says() {
        let limit = |max, offset| GrpcTimeout { max, offset };
        for (asked, limit, expected) in [
            (Some("2S"), limit(None, ms(0)), Some(ms(2000))),
            (Some("2S"), limit(Some(ms(500)), ms(0)), Some(ms(500))),
            (Some("2S"), limit(Some(ms(5000)), ms(100)), Some(ms(1900))),
            (Some("100m"), limit(None, ms(100)), Some(ms(100))),
            (Some("0S"), limit(Some(ms(500)), ms(0)), Some(ms(500))),
            (None, limit(Some(ms(500)), ms(0)), Some(ms(500))),
            (None, limit(None, ms(0)), None),
        ] {
            assert_eq!(of_grpc(&headers(asked), &limit), expected, "{asked:?} {limit:?}");
        }
    }
}
