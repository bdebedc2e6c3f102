//! Cross-origin requests.

use ::http::HeaderValue;

use crate::config::{Fraction, StringMatch};

/// Envoy's `CorsPolicy`. What one level of a route table does not say is asked of the next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CorsPolicy {
    /// `allow_origin_string_match`: one of them must match.
    pub(crate) origins: Vec<StringMatch>,
    pub(crate) allow_methods: Option<HeaderValue>,
    pub(crate) allow_headers: Option<HeaderValue>,
    pub(crate) expose_headers: Option<HeaderValue>,
    pub(crate) max_age: Option<HeaderValue>,
    pub(crate) allow_credentials: Option<bool>,
    pub(crate) allow_private_network: Option<bool>,
    /// `forward_not_matching_preflights`, true by default.
    pub(crate) forward_not_matching: Option<bool>,
    /// `filter_enabled`: of which share of the requests; all by default.
    pub(crate) enabled: Option<Fraction>,
    /// `shadow_enabled`: of which share, of those where it is not enabled, it is counted what
    /// would have become.
    pub(crate) shadow: Option<Fraction>,
}
