//! Statistics, under Envoy's names.
//!
//! Counters and histograms are kept per worker and summed when read, so that counting
//! shares no cache line between workers; gauges are one relaxed atomic each. What is
//! counted on a request's path is looked up by name once and then held in a struct.

mod by_class;
mod by_code;
mod counter;
mod derived;
mod gauge;
mod histogram;
mod prometheus;
mod registry;
mod shard;
mod transfer;

pub(crate) use by_class::ByClass;
pub(crate) use by_code::ByCode;
pub(crate) use counter::Counter;
pub(crate) use derived::Derived;
pub(crate) use gauge::{Gauge, Held, Level};
pub(crate) use histogram::{BOUNDS, Histogram, Snapshot};
pub(crate) use prometheus::prometheus_name;
pub(crate) use registry::{Registry, Value};
pub(crate) use shard::set_worker;
pub(crate) use transfer::Export;
