//! The data plane: Envoy's configuration in, connections and requests through.

mod access_log;
mod admin;
pub mod cli;
mod cluster;
mod codec;
mod config;
mod dns;
mod endpoint;
mod formatter;
#[cfg(fuzzing)]
pub mod fuzz;
mod hash;
mod hot_restart;
mod http_filter;
mod listener;
mod load_balancer;
mod network;
mod pool;
mod random;
mod router;
mod routes;
mod secrets;
mod server;
mod stats;
mod transport;
mod worker;
mod xds;
