//! One process takes over from another: the real program, under load.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

#[path = "../common/mod.rs"]
mod common;
mod discovery;
mod handover;
mod killed;
mod load;
mod refused;
mod silent;
mod site;
mod stats;
mod termination;
