//! TLS of the real program on either side, with curl, openssl and a stock Envoy as peers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

#[path = "../common/mod.rs"]
mod common;

mod ads;
mod envoy;
mod files;
mod hostile;
mod http;
mod modes;
mod peer;
mod sds;
mod tcp;
