//! The real mesh-pilot over a folder, with scripted proxies and a stock Envoy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test"
)]

mod cluster;
mod discovery;
mod envoy;
mod identity;
mod member;
mod peer;
mod pilot;
mod rights;
mod router;
mod rules;
mod webhook;
mod world;
