//! HTTP filters, and what routes say of them.

mod cors;
mod fault;
mod header_mutation;
mod health_check;
mod local_rate_limit;

use std::num::NonZeroU64;
use std::sync::Arc;

use super::Name;
pub(crate) use cors::CorsPolicy;
pub(crate) use fault::{AbortStatus, Fault, FaultAbort, FaultDelay, FaultKind, FaultRate};
pub(crate) use header_mutation::{HeaderMutation, Mutations, QueryMutation};
pub(crate) use health_check::{HealthCheckFilter, HealthCheckMode};
pub(crate) use local_rate_limit::{LocalRateLimit, TokenBucket};

/// An HTTP filter of a connection manager; the router is none of them, but what follows the
/// last one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpFilter {
    /// The name by which routes speak of it.
    pub(crate) name: Name,
    /// `disabled`: works only where a route says something of it.
    pub(crate) disabled: bool,
    pub(crate) kind: FilterKind,
}

/// A filter's settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FilterKind {
    Buffer(Buffer),
    /// Its policies are the routes'.
    Cors,
    Fault(Arc<Fault>),
    HeaderMutation(Arc<HeaderMutation>),
    HealthCheck(Arc<HealthCheckFilter>),
    LocalRateLimit(Arc<LocalRateLimit>),
}

/// A level's `typed_per_filter_config`: what a route table, a virtual host, a route or a
/// weighted cluster says of filters, by their names.
pub(crate) type FilterOverrides = Vec<(Name, FilterOverride)>;

/// What is said of one filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FilterOverride {
    /// `FilterConfig.disabled`, or Buffer's own.
    Disabled,
    /// At work, with nothing else said.
    Enabled,
    Buffer(Buffer),
    Cors(Arc<CorsPolicy>),
    Fault(Arc<Fault>),
    HeaderMutation(Arc<Mutations>),
    LocalRateLimit(Arc<LocalRateLimit>),
}

/// Envoy's `Buffer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// `max_request_bytes`.
    pub(crate) max: NonZeroU64,
}
