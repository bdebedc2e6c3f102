//! Requests in a time, counted by this process.

use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;

use crate::config::{Fraction, HeaderChanges, Name};

/// Envoy's `LocalRateLimit`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalRateLimit {
    pub(crate) stat_prefix: Name,
    /// 429 by default, never less than 400.
    pub(crate) status: StatusCode,
    /// Without one there is no limit.
    pub(crate) bucket: Option<TokenBucket>,
    /// `filter_enabled`: of which share of the requests it is counted; none by default.
    pub(crate) enabled: Option<Fraction>,
    /// `filter_enforced`: which share of those may be refused; none by default.
    pub(crate) enforced: Option<Fraction>,
    /// What a request too many gets that goes on, as the limit is not enforced.
    pub(crate) request_headers: Arc<HeaderChanges>,
    /// What the answer to one that is refused gets.
    pub(crate) response_headers: Arc<HeaderChanges>,
    /// `enable_x_ratelimit_headers`.
    pub(crate) x_ratelimit_headers: bool,
    /// `rate_limited_as_resource_exhausted`.
    pub(crate) resource_exhausted: bool,
    /// `enable_retry_after_header`, for an answer of 429.
    pub(crate) retry_after: bool,
}

/// Envoy's `TokenBucket`: each request takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenBucket {
    pub(crate) max_tokens: u32,
    pub(crate) tokens_per_fill: u32,
    /// At least 50 ms.
    pub(crate) fill_interval: Duration,
}
