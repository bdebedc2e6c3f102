//! Clients and servers of others: h2spec, gRPC's own library, a WebSocket library, curl,
//! nghttp.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

#[path = "../common/mod.rs"]
mod common;
mod grpc;
mod h2spec;
mod http;
mod site;
mod websocket;
