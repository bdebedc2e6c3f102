//! Test harness: fake upstreams, a scripted xDS server, network namespaces, real peers.
//!
//! Everything here runs on threads of its own, so that it serves plain `#[test]`s and tests
//! with a runtime alike, and ends when it is dropped. What cannot be set up panics with the
//! reason: this crate is only for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only for tests")]

mod background;
pub mod binary;
pub mod client;
pub mod envoy;
mod eventually;
mod handover_relay;
mod netns;
mod ports;
mod process;
mod program;
mod require;
mod tool;
mod upstream;
mod xds_server;

pub use eventually::{DEADLINE, eventually, eventually_async};
pub use handover_relay::{HandoverRelay, Held};
pub use netns::Netns;
pub use ports::{free_address, free_port, free_ports};
pub use process::Process;
pub use program::{copy_program, write_script};
pub use require::{missing, require_command, require_root};
pub use tool::tool;
pub use upstream::Upstream;
pub use xds_server::{Seen, XdsServer};
