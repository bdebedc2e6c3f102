//! The data plane: Envoy's configuration in, connections and requests through.

#![allow(dead_code, unused_imports)] // while its parts are being put together

mod access_log;
mod admin;
pub mod cli;
mod cluster;
mod codec;
mod config;
mod http_filter;
mod listener;
mod load_balancer;
mod network;
mod pool;
mod router;
mod server;
mod stats;
mod transport;
mod worker;
mod xds;
