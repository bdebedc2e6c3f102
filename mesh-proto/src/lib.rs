//! The wire: Envoy's xDS v3 and the mesh's own messages, gRPC stubs, YAML and JSON.
//!
//! [`envoy`], [`istio`] and [`mesh`] are generated (`cargo xtask codegen`); [`text`] reads and writes
//! messages as YAML and JSON, with every error naming the field's path; [`health`] is gRPC's own
//! health check.

#[allow(missing_docs, dead_code, unreachable_pub, clippy::all, clippy::unwrap_used, rustdoc::all)]
#[rustfmt::skip]
mod generated;

pub mod any;
pub mod health;
pub mod text;

pub use generated::{envoy, google, istio, mesh, xds};
