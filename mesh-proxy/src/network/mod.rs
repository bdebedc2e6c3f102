//! Network filters: what a filter chain ends in.

pub(crate) mod tcp_proxy;
