//! The program with a file, with a control plane, and beside a stock Envoy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

mod admin;
mod broken;
mod discovery;
mod listeners;
mod proxy;
mod static_file;
