//! TLS handshakes, on either side, and what is known after them.

mod failure;
mod info;
mod stats;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use failure::{FailureKind, HandshakeError};
pub(crate) use info::ConnectionInfo;
pub(crate) use stats::SslStats;
