//! Istio's resources, as far as we honour them.
//!
//! The types have the fields that are honoured and no others. Reading one that Istio has
//! and we do not is refused with "not supported yet"; any other with the nearest name.

mod client_tls;
mod destination_rule;
mod duration;
mod gateway;
mod not_yet;
mod peer_authentication;
mod read;
mod traffic_policy;
mod virtual_service;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use destination_rule::{
    ConnectionPool, DestinationRuleSpec, LoadBalancer, PortTrafficPolicy, Subset, TcpPool, Tls,
    TrafficPolicy,
};
pub use gateway::{GatewaySpec, Server, ServerPort, ServerTls};
pub use peer_authentication::{MutualTls, PeerAuthenticationSpec, WorkloadSelector};
pub use read::read;
pub use virtual_service::{
    Destination, HeaderOperations, Headers, HttpMatch, HttpRoute, Port, Redirect, Retries, Rewrite,
    StringMatch, VirtualServiceSpec, WeightedDestination,
};

pub(crate) use destination_rule::policy;
pub(crate) use gateway::{gateway, is_host};
pub(crate) use peer_authentication::peer_authentication;
pub(crate) use virtual_service::route;

/// The versions of the group `networking.istio.io` that we read. They say the same.
pub const API_VERSIONS: [&str; 3] =
    ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"];

/// The versions of the group `security.istio.io` that we read. They say the same.
pub const SECURITY_API_VERSIONS: [&str; 2] = ["security.istio.io/v1", "security.istio.io/v1beta1"];

/// Finds fault with what is no regular expression of RE2's.
pub(crate) fn check_regex(findings: &mut Findings<'_>, path: &str, text: &str) {
    if let Err(error) = mesh_regex::whole(text) {
        findings.add(path, format!("\"{text}\": {error}"));
    }
}

/// A Kubernetes resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource<S> {
    /// One of those that the kind has.
    pub api_version: String,
    /// `VirtualService`, `DestinationRule`, `Gateway`, `PeerAuthentication`.
    pub kind: String,
    /// Its name and more.
    pub metadata: Metadata,
    /// What the user wants.
    pub spec: S,
    /// What a cluster noted; not read.
    #[serde(default, skip_serializing)]
    pub status: Option<Value>,
}

/// What every Kubernetes resource has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Unique within the kind and namespace.
    pub name: String,
    /// `None`: the namespace that is taken when none is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The rest, kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Gathers what is wrong with one resource.
pub(crate) struct Findings<'a> {
    source: &'a str,
    problems: Vec<crate::Problem>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { source, problems: Vec::new() }
    }

    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let source = self.source.to_owned();
        self.problems.push(crate::Problem { source, path: path.into(), message: message.into() });
    }

    pub(crate) fn finish<T>(self, value: T) -> Result<T, Vec<crate::Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    /// Istio's `exportTo`: every namespace, or nothing said.
    fn exported(&mut self, export_to: &[String]) {
        if export_to.iter().any(|namespace| namespace != "*") {
            self.add("spec.exportTo", "only \"*\" (every namespace) is supported yet");
        }
    }

    pub(crate) fn duration(
        &mut self,
        path: &str,
        text: Option<&str>,
    ) -> Option<std::time::Duration> {
        match duration::parse(text?) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.add(path, message);
                None
            }
        }
    }
}
