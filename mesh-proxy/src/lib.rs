//! The data plane: Envoy's configuration in, connections and requests through.

#![allow(dead_code, unused_imports)] // while its parts are being put together

mod admin;
pub mod cli;
mod config;
mod xds;
