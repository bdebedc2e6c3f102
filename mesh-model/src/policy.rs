//! How a service's endpoints are used.

use std::time::Duration;

use crate::{Labels, ServiceName};

/// How clients treat a service: Istio's `DestinationRule`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// The rule it was made from.
    pub name: ServiceName,
    /// The fully qualified name of the service.
    pub host: String,
    /// For the whole service, and for subsets that do not say; `None`: the mesh's default.
    pub load_balancing: Option<LoadBalancing>,
    /// For a TCP connection to be made; `None`: the mesh's default.
    pub connect_timeout: Option<Duration>,
    /// For the whole service, and for subsets that do not say; `None`: mutual TLS of the mesh
    /// with the endpoints that take it.
    pub tls: Option<ClientTls>,
    /// Its named parts, in the order in which they are declared.
    pub subsets: Vec<Subset>,
}

impl TrafficPolicy {
    /// The subset of this name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }
}

/// A named part of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Unique within its policy.
    pub name: String,
    /// The labels that its pods have.
    pub labels: Labels,
    /// `None`: the policy's.
    pub load_balancing: Option<LoadBalancing>,
    /// `None`: the policy's.
    pub tls: Option<ClientTls>,
}

/// How clients encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientTls {
    /// Not at all.
    Disable,
    /// Mutual TLS of the mesh, whether the endpoints take it or not (`ISTIO_MUTUAL`).
    Mesh {
        /// `None`: the name that says service, port and subset.
        sni: Option<String>,
        /// What the server may be, any of them; empty: the service's accounts.
        subject_alt_names: Vec<String>,
    },
    /// TLS of the user's own (`SIMPLE`, `MUTUAL`).
    Own(OwnTls),
}

/// TLS with what the user names. Files are those of the client's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTls {
    /// `None`: the request's host.
    pub sni: Option<String>,
    /// How the server's certificate is checked.
    pub check: ServerCheck,
    /// The client's own certificate chain and key, when it shows one.
    pub certificate: Option<(String, String)>,
}

/// What a server's certificate must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerCheck {
    /// Any (`insecureSkipVerify`).
    Nothing,
    /// Signed by one of these roots, for one of these names.
    Signed {
        /// A file of roots; `None`: those of the system.
        roots: Option<String>,
        /// Empty: the name that is called.
        subject_alt_names: Vec<String>,
    },
}

/// Which endpoint a request goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadBalancing {
    /// The less busy one of two taken by chance. Istio's default, and ours.
    #[default]
    LeastRequest,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}
