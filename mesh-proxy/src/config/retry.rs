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
