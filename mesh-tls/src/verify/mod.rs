//! Verification of the other side's certificate as Envoy does it: the chain up to a root,
//! then any of its names against matchers; the name that was dialled does not count.

mod client;
mod san;
mod server;

pub use client::client_verifier;
pub use san::{SanKind, SanMatcher, SanMismatch, SanPattern};
pub use server::server_verifier;
