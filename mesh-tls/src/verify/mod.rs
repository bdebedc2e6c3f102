//! Verification of the other side's certificate as Envoy does it: the chain up to a root,
//! then any of its names against matchers; the name that was dialled does not count.

mod client;
mod pins;
mod san;
mod server;

pub use client::{client_verifier, pinned_client_verifier};
pub use pins::Pins;
pub(crate) use san::covers;
pub use san::{Expression, SanKind, SanMatcher, SanMismatch, SanPattern};
pub use server::{pinned_server_verifier, server_verifier};
