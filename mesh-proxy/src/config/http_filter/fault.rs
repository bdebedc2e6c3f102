//! Faults that are injected.

use std::time::Duration;

use ::http::StatusCode;
use bytes::Bytes;

use crate::config::{Fraction, HeaderMatch, Name};

/// Envoy's `HTTPFault`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) delay: Option<FaultDelay>,
    pub(crate) abort: Option<FaultAbort>,
    /// `response_rate_limit`: KiB a second.
    pub(crate) rate: Option<FaultRate>,
    /// Only requests to this cluster.
    pub(crate) upstream_cluster: Option<Name>,
    /// Only requests that match all of them.
    pub(crate) headers: Vec<HeaderMatch>,
    /// Only requests of these, by `x-envoy-downstream-service-node`; of all when empty.
    pub(crate) downstream_nodes: Vec<String>,
    /// `max_active_faults`.
    pub(crate) max_active: Option<u64>,
}

/// What happens, and to which share of the requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FaultKind<T> {
    /// `None`: as a header of the request says.
    pub(crate) fixed: Option<T>,
    pub(crate) share: Fraction,
}

/// The request waits this long.
pub(crate) type FaultDelay = FaultKind<Duration>;

/// The response takes its time: KiB a second.
pub(crate) type FaultRate = FaultKind<u64>;

/// The request is answered so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FaultAbort {
    pub(crate) kind: FaultKind<AbortStatus>,
    /// `response_body`, or Envoy's.
    pub(crate) body: Bytes,
}

/// What a request that is aborted gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AbortStatus {
    Http(StatusCode),
    Grpc(u32),
}
