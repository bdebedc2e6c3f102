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
