//! Whether a request may be tried again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::attempt::{Failure, FailureKind};
use super::attempts::Outcome;
use crate::codec::client::SendErrorKind;
use crate::config::{RateLimitedBackOff, ResetFormat, RetryOn, RetryPolicy};
use crate::random;

/// An Envoy's word for a response that a rate limit of its own has made.
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// Whether nobody can have processed a request that failed so, or whether it does not
/// matter if somebody did: such a request is tried again without any policy, once.
///
/// `can_resend` says that the whole request can be sent again.
pub(super) fn is_provably_safe(failure: &Failure, method: &Method, can_resend: bool) -> bool {
    match failure.kind {
        // No connection came about, or the codec gave the request back.
        FailureKind::Connect
        | FailureKind::ConnectTimeout
        | FailureKind::Send(SendErrorKind::NotSent) => failure.body.is_some(),
        // RFC 9113, section 8.7.
        FailureKind::Send(SendErrorKind::Refused) => can_resend,
        // An idle connection that the upstream closed while the request was on its way
        // (RFC 9112, section 9.3.1): only what may arrive twice goes out twice.
        FailureKind::Send(SendErrorKind::Closed) => {
            failure.reused && can_resend && method.is_idempotent()
        }
        _ => false,
    }
}

impl RetryPolicy {
    /// Whether the policy wants another try after this one.
    pub(super) fn wants_after(&self, outcome: &Outcome) -> bool {
        match outcome {
            Ok((response, _)) => self.wants_after_response(response.status(), response.headers()),
            Err(failure) => self.wants_after_failure(failure),
        }
    }

    /// Whether the policy wants another try after this failure (Envoy's `retry_on`).
    fn wants_after_failure(&self, failure: &Failure) -> bool {
        let on = &self.on;
        match failure.kind {
            FailureKind::Overflow | FailureKind::NoEndpoint => false,
            FailureKind::ConnectTimeout | FailureKind::Connect => {
                on.connect_failure
                    || on.reset
                    || on.reset_before_request
                    || on.server_error
                    || on.gateway_error
            }
            FailureKind::Send(SendErrorKind::NotSent) => {
                on.reset || on.reset_before_request || on.server_error || on.gateway_error
            }
            FailureKind::Send(SendErrorKind::Refused) => {
                on.refused_stream || on.reset || on.server_error || on.gateway_error
            }
            FailureKind::Send(_) | FailureKind::PerTryTimeout => {
                on.reset || on.server_error || on.gateway_error
            }
        }
    }

    /// Whether the policy wants another try after this response.
    fn wants_after_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let on = &self.on;
        if headers.contains_key(RATE_LIMITED) {
            return on.envoy_ratelimited;
        }
        (on.server_error && status.is_server_error())
            || (on.gateway_error && matches!(status.as_u16(), 502..=504))
            || (on.retriable_4xx && status == StatusCode::CONFLICT)
            || (on.retriable_status_codes && self.status_codes.contains(&status))
            || (on.retriable_headers
                && self.headers.iter().any(|header| header.matches_response(status, headers)))
            || (on.grpc != 0 && grpc_status(headers).is_some_and(|code| on.grpc >> code & 1 == 1))
    }

    /// Whether a request may be tried again at all.
    pub(super) fn allows(&self, head: &Parts) -> bool {
        self.on != RetryOn::default()
            && (self.request_headers.is_empty()
                || self.request_headers.iter().any(|header| header.matches(head)))
    }

    /// How long the upstream asks to wait, if the policy looks for that, and up to half as
    /// long again, so that not all come back at once.
    pub(super) fn asked_to_wait(&self, headers: &HeaderMap) -> Option<Duration> {
        let wait = self.rate_limited.as_ref()?.interval(headers)?;
        Some(wait + wait.mul_f64(random::share() / 2.0))
    }

    /// How long to wait before the try after `retries` retries: exponential, with full
    /// jitter.
    pub(super) fn back_off_after(&self, retries: u32) -> Duration {
        let (base, max) = self.back_off;
        let ceiling = base.saturating_mul(1 << retries.min(16)).min(max).as_micros() as u64;
        Duration::from_micros(random::below(ceiling.max(1)))
    }
}

impl RateLimitedBackOff {
    fn interval(&self, headers: &HeaderMap) -> Option<Duration> {
        self.headers.iter().find_map(|header| {
            let number = headers.get(&header.name)?.to_str().ok()?.trim().parse().ok()?;
            let wait = match header.format {
                ResetFormat::Seconds => Duration::from_secs(number),
                ResetFormat::UnixTimestamp => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
                    Duration::from_secs(number).checked_sub(now)?
                }
            };
            (wait <= self.max).then_some(wait)
        })
    }
}

/// The status of a gRPC response that has no more than headers.
fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    let status = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    (status < u32::BITS).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ResetHeader;
    use http::HeaderValue;

    fn failure(kind: SendErrorKind, reused: bool) -> Failure {
        let kind = FailureKind::Send(kind);
        Failure { kind, endpoint: None, reused, body: None, transport_failure: None }
    }

    #[test]
    fn only_what_is_safe_is_sent_twice_unasked() {
        let closed = |reused| failure(SendErrorKind::Closed, reused);
        assert!(is_provably_safe(&closed(true), &Method::GET, true));
        assert!(!is_provably_safe(&closed(true), &Method::POST, true));
        assert!(!is_provably_safe(&closed(true), &Method::PUT, false));
        assert!(!is_provably_safe(&closed(false), &Method::GET, true));
        for kind in [FailureKind::Connect, FailureKind::ConnectTimeout] {
            let body = Some(crate::codec::Body::empty());
            let transport_failure = None;
            let failure = Failure { kind, endpoint: None, reused: false, body, transport_failure };
            assert!(is_provably_safe(&failure, &Method::POST, false));
        }
        let refused = failure(SendErrorKind::Refused, false);
        assert!(is_provably_safe(&refused, &Method::POST, true));
        assert!(!is_provably_safe(&refused, &Method::POST, false));
        assert!(!is_provably_safe(&failure(SendErrorKind::Reset, true), &Method::GET, true));
    }

    #[test]
    fn a_policy_names_its_conditions() {
        let policy = RetryPolicy {
            on: RetryOn { gateway_error: true, grpc: 1 << 14, ..RetryOn::default() },
            retries: 2,
            per_try_timeout: None,
            omit_canaries: false,
            headers: Vec::new(),
            request_headers: Vec::new(),
            rate_limited: None,
            status_codes: vec![StatusCode::IM_A_TEAPOT],
            back_off: (Duration::from_millis(25), Duration::from_millis(250)),
        };
        let headers = HeaderMap::new();
        assert!(policy.wants_after_response(StatusCode::BAD_GATEWAY, &headers));
        assert!(!policy.wants_after_response(StatusCode::INTERNAL_SERVER_ERROR, &headers));
        assert!(!policy.wants_after_response(StatusCode::IM_A_TEAPOT, &headers));
        let status = |code| HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), code)]);
        let of = |code| policy.wants_after_response(StatusCode::OK, &status(code));
        assert!(of(HeaderValue::from_static("14")));
        assert!(!of(HeaderValue::from_static("13")) && !of(HeaderValue::from_static("46")));
        let mut limited = HeaderMap::new();
        limited.insert(RATE_LIMITED, HeaderValue::from_static("true"));
        assert!(!policy.wants_after_response(StatusCode::BAD_GATEWAY, &limited));
        let longest = Duration::from_millis(250);
        assert!((0..100).all(|retries| policy.back_off_after(retries) <= longest));
    }

    #[test]
    fn an_upstream_can_say_when_to_come_again() {
        let header = |name, format| ResetHeader { name: HeaderName::from_static(name), format };
        let limited = RateLimitedBackOff {
            headers: vec![
                header("retry-after", ResetFormat::Seconds),
                header("x-reset", ResetFormat::UnixTimestamp),
            ],
            max: Duration::from_secs(60),
        };
        let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 30;
        let interval = |after: &str, at: u64| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::try_from(after).unwrap());
            headers.insert("x-reset", HeaderValue::from(at));
            limited.interval(&headers)
        };
        assert_eq!(interval("5", soon), Some(Duration::from_secs(5)));
        let by_timestamp = interval("61", soon).unwrap();
        assert!((20..=30).contains(&by_timestamp.as_secs()), "{by_timestamp:?}");
        assert_eq!(interval("later", soon + 3600), None);
        assert_eq!(interval("", 0), None);
    }
}
