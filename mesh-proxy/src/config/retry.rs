//! When and how requests are tried again.

use std::time::Duration;

use ::http::{HeaderName, StatusCode};

use super::HeaderMatch;

/// Envoy's `RetryPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    pub(crate) on: RetryOn,
    /// `num_retries`, 1 by default.
    pub(crate) retries: u32,
    /// `per_try_timeout`.
    pub(crate) per_try_timeout: Option<Duration>,
    /// `retry_host_predicate` has `omit_canary_hosts`: no retry goes to an endpoint that says
    /// `canary: true` under `envoy.lb`, if there are others.
    pub(crate) omit_canaries: bool,
    /// `retriable_headers` of a response, with the condition of that name.
    pub(crate) headers: Vec<HeaderMatch>,
    /// `retriable_request_headers`: only a request that is as one of them says is tried again.
    /// Without any, every request is.
    pub(crate) request_headers: Vec<HeaderMatch>,
    /// `retriable_status_codes`, with the condition of that name.
    pub(crate) status_codes: Vec<StatusCode>,
    /// `retry_back_off`: base and maximum interval; 25 ms and ten times that by default.
    pub(crate) back_off: (Duration, Duration),
    /// `rate_limited_retry_back_off`.
    pub(crate) rate_limited: Option<RateLimitedBackOff>,
}

/// How long to wait when the upstream says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateLimitedBackOff {
    /// `reset_headers`: the first that says no more than `max` counts.
    pub(crate) headers: Vec<ResetHeader>,
    /// `max_interval`, 300 s by default.
    pub(crate) max: Duration,
}

/// A header by which an upstream says when to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResetHeader {
    pub(crate) name: HeaderName,
    pub(crate) format: ResetFormat,
}

/// What the number in it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetFormat {
    /// How many seconds from now.
    Seconds,
    /// When, in seconds since 1970.
    UnixTimestamp,
}

/// The conditions of `retry_on`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetryOn {
    pub(crate) connect_failure: bool,
    pub(crate) refused_stream: bool,
    pub(crate) reset: bool,
    pub(crate) reset_before_request: bool,
    pub(crate) gateway_error: bool,
    pub(crate) server_error: bool,
    pub(crate) retriable_4xx: bool,
    pub(crate) retriable_status_codes: bool,
    pub(crate) retriable_headers: bool,
    /// Even a response that says `x-envoy-ratelimited`.
    pub(crate) envoy_ratelimited: bool,
    /// The gRPC statuses, in a response's headers, that are tried again: bit 14 is UNAVAILABLE.
    pub(crate) grpc: u32,
}

/// Envoy's default base interval; the maximum is ten times the base.
const DEFAULT_BASE_INTERVAL: Duration = Duration::from_millis(25);

/// Envoy's default: one retry, on nothing.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            on: RetryOn::default(),
            retries: 1,
            per_try_timeout: None,
            omit_canaries: false,
            headers: Vec::new(),
            request_headers: Vec::new(),
            status_codes: Vec::new(),
            back_off: (DEFAULT_BASE_INTERVAL, DEFAULT_BASE_INTERVAL * 10),
            rate_limited: None,
        }
    }
}

impl RetryOn {
    /// Every condition, as Envoy writes it.
    pub(crate) const CONDITIONS: &str = "5xx, gateway-error, reset, reset-before-request, \
         connect-failure, refused-stream, retriable-4xx, retriable-status-codes, \
         retriable-headers, envoy-ratelimited, http3-post-connect-failure, cancelled, \
         deadline-exceeded, internal, resource-exhausted, unavailable";

    /// Adds a condition by its name; false when there is none of this name.
    pub(crate) fn add(&mut self, condition: &str) -> bool {
        let flag = match condition {
            "connect-failure" => &mut self.connect_failure,
            "refused-stream" => &mut self.refused_stream,
            "reset" => &mut self.reset,
            "reset-before-request" => &mut self.reset_before_request,
            "gateway-error" => &mut self.gateway_error,
            "5xx" => &mut self.server_error,
            "retriable-4xx" => &mut self.retriable_4xx,
            "retriable-status-codes" => &mut self.retriable_status_codes,
            "retriable-headers" => &mut self.retriable_headers,
            "envoy-ratelimited" => &mut self.envoy_ratelimited,
            // Of HTTP/3, which no cluster speaks.
            "http3-post-connect-failure" => return true,
            other => match grpc_status(other) {
                Some(status) => {
                    self.grpc |= 1 << status;
                    return true;
                }
                None => return false,
            },
        };
        *flag = true;
        true
    }
}

/// The number of a gRPC status that can be retried (gRPC's "Status codes").
fn grpc_status(condition: &str) -> Option<u32> {
    Some(match condition {
        "cancelled" => 1,
        "deadline-exceeded" => 4,
        "resource-exhausted" => 8,
        "internal" => 13,
        "unavailable" => 14,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_known() {
        for condition in RetryOn::CONDITIONS.split(", ") {
            assert!(RetryOn::default().add(condition.trim()), "{condition}");
        }
        assert!(!RetryOn::default().add("often"));
    }
}
