//! Envoy's messages to validated types: the one place that sees protos.
//!
//! Every message is taken apart field by field, so that a field which the next version of
//! the API brings does not compile until somebody decides about it. What is set and not
//! honoured is refused with its path, unless [`inert`] names it.
#![expect(deprecated, reason = "a deprecated field is honoured or refused like any other")]

mod access_log;
mod bootstrap;
mod breakers;
mod client_cert;
mod cluster;
mod common;
mod data_source;
mod dns;
mod endpoint;
mod filter_chain;
mod format;
mod fraction;
mod hash_policy;
mod header;
mod health_check;
mod http1_options;
mod http_connection_manager;
mod http_filter;
mod http_options;
mod inert;
mod lb_extension;
mod lb_policy;
mod lb_settings;
mod listener;
mod local_reply;
mod log_filter;
mod metadata;
mod mirror;
mod origin;
mod outlier;
mod redact;
mod retry;
mod route;
mod route_action;
mod route_match;
mod route_table;
mod runtime;
mod secret;
mod subsets;
mod tcp_proxy;
#[cfg(test)]
mod tests;
mod tls;
mod tls_parameters;
mod transport_socket;

pub(crate) use bootstrap::bootstrap;
pub(crate) use cluster::cluster;
pub(crate) use endpoint::load_assignment;
#[cfg(any(test, fuzzing))]
pub(crate) use format::format;
pub(crate) use listener::listener;
pub(crate) use redact::redacted;
pub(crate) use route_table::route_table;
pub(crate) use secret::{SecretSources, secret};

/// Tells whether a cluster of this name exists, for the tables whose `validate_clusters`
/// asks for it.
pub(crate) type KnownClusters<'a> = &'a dyn Fn(&str) -> bool;
