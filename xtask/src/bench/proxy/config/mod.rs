//! A setup in each proxy's own words.

mod envoy;
mod haproxy;
mod nginx;

pub(super) use envoy::bootstrap;
pub(super) use haproxy::haproxy;
pub(super) use nginx::nginx;
