//! The xDS protocol, both ends.
//!
//! [`client`] is a proxy's end of an aggregated discovery (ADS) stream, [`server`] the
//! control plane's. Each is a state machine without I/O, tested transition by transition,
//! and on the client's side a small driver around tonic. The protocol spoken is
//! state-of-the-world; delta is to become a second front of the same two machines.
//!
//! The rules are those of the [xDS protocol]: a response carries a version and a nonce; the
//! client answers each with the nonce, and with the version when it took it (ACK) or with
//! the last version that it took and an error (NACK).
//!
//! [xDS protocol]: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol

pub mod client;
mod names;
mod resource_type;
pub mod server;

pub use names::Names;
pub use resource_type::ResourceType;
