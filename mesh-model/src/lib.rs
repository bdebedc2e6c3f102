//! The mesh in its own words: pure data, no I/O, no protos, no Kubernetes types.
//!
//! A platform adapter makes a [`Snapshot`], which never changes once made; everything
//! after it reads that.

mod gateway;
mod name;
mod peer_authentication;
mod policy;
mod precedence;
mod route;
mod service;
mod snapshot;
mod workload;

pub use gateway::{Gateway, GatewayApi, GatewayHost, GatewayServer, ServerTls, ServerTransport};
pub use name::{ServiceName, fqdn, short_names};
pub use peer_authentication::{InboundMtls, MtlsMode, PeerAuthentication, Scope};
pub use policy::{ClientTls, LoadBalancing, OwnTls, ServerCheck, Settings, Subset, TrafficPolicy};
pub use precedence::{Tried, in_order};
pub use route::{
    Action, Attachment, Destination, HeaderChanges, HeaderMatch, HttpMatch, HttpRoute, Order,
    PathMatch, QueryMatch, Redirect, Retries, Rewrite, StringMatch, TrafficRoute, ValueMatch,
};
pub use service::{Alias, Endpoint, Protocol, Service, ServicePort, TargetPort};
pub use snapshot::{Contents, Snapshot};
pub use workload::{Labels, Locality, Workload};
