//! SPIFFE identities and TLS: keys, requests, the certificate authority, verification as
//! Envoy does it, rustls configuration, and connections for gRPC.
//!
//! No I/O but reading the files that are named, and the sockets that are given.

mod accept;
mod authority;
mod bundle;
mod by_name;
mod certificate;
mod config;
mod connect;
mod credentials;
mod explain;
mod key;
mod name;
mod parameters;
mod pem;
mod provider;
mod renewal;
mod request;
mod spiffe;
mod tickets;
mod verify;

pub use accept::{AcceptCounters, Connection, PeerInfo, incoming};
pub use authority::{Authority, AuthorityError};
pub use bundle::{BundleError, TrustBundle};
pub use certificate::{CertificateDetails, CertificateError, SubjectAltNames, peer_spiffe_id};
pub use config::{ServerContext, VERSIONS, client_config, server_config, server_config_by_name};
pub use connect::{ConnectError, Connector};
pub use credentials::{Credentials, CredentialsError, Identity};
pub use explain::{explain, explain_tls};
pub use key::{KeyError, PrivateKey, csr};
pub use parameters::Parameters;
pub use provider::{install, provider};
pub use renewal::{Moment, Renewal, renew_at};
pub use request::{CertificateRequest, RequestError};
pub use spiffe::{SpiffeError, SpiffeId, check_trust_domain};
pub use verify::{
    Expression, Pins, SanKind, SanMatcher, SanMismatch, SanPattern, client_verifier,
    pinned_client_verifier, pinned_server_verifier, server_verifier,
};
