//! TLS handshakes, on either side, and what is known after them.

mod client;
mod failure;
mod info;
mod material;
mod server;
mod stats;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use client::Client;
pub(crate) use failure::{FailureKind, HandshakeError};
pub(crate) use info::ConnectionInfo;
pub(crate) use server::{Accepted, Server};
pub(crate) use stats::SslStats;
