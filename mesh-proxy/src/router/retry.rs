//! Whether a request may be tried again.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};

use super::attempt::{Failure, FailureKind};
use crate::codec::client::SendErrorKind;
use crate::config::RetryPolicy;
use crate::random;

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
    /// Whether the policy wants another try after this failure (Envoy's `retry_on`).
    pub(super) fn wants_after_failure(&self, failure: &Failure) -> bool {
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
    pub(super) fn wants_after_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let on = &self.on;
        let grpc = |code: &str| headers.get("grpc-status").is_some_and(|value| value == code);
        (on.server_error && status.is_server_error())
            || (on.gateway_error && matches!(status.as_u16(), 502..=504))
            || (on.retriable_4xx && status == StatusCode::CONFLICT)
            || (on.retriable_status_codes && self.status_codes.contains(&status))
            || (on.grpc_unavailable && grpc("14"))
            || (on.grpc_cancelled && grpc("1"))
    }

    /// How long to wait before the try after `retries` retries: exponential, with full
    /// jitter.
    pub(super) fn back_off_after(&self, retries: u32) -> Duration {
        let (base, max) = self.back_off;
        let ceiling = base.saturating_mul(1 << retries.min(16)).min(max).as_micros() as u64;
        Duration::from_micros(random::below(ceiling.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RetryOn;

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
            on: RetryOn { gateway_error: true, grpc_unavailable: true, ..RetryOn::default() },
            retries: 2,
            per_try_timeout: None,
            status_codes: vec![StatusCode::IM_A_TEAPOT],
            back_off: (Duration::from_millis(25), Duration::from_millis(250)),
        };
        let headers = HeaderMap::new();
        assert!(policy.wants_after_response(StatusCode::BAD_GATEWAY, &headers));
        assert!(!policy.wants_after_response(StatusCode::INTERNAL_SERVER_ERROR, &headers));
        assert!(!policy.wants_after_response(StatusCode::IM_A_TEAPOT, &headers));
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("14"),
        )]);
        assert!(policy.wants_after_response(StatusCode::OK, &headers));
        assert!((0..100).all(|n| policy.back_off_after(n) <= Duration::from_millis(250)));
    }
}
