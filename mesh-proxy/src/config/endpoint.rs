//! The endpoints of a cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{EndpointHealthCheck, Name};

/// Envoy's `ClusterLoadAssignment`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoadAssignment {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) policy: AssignmentPolicy,
}

/// `ClusterLoadAssignment.policy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssignmentPolicy {
    /// `overprovisioning_factor`, in percent: how much more than its own share the healthy
    /// endpoints of a priority or a locality may take before others get some. 140 by default.
    pub(crate) overprovisioning_factor: u32,
    /// `weighted_priority_health`: the health of a priority is that of its weights, not of
    /// its number of endpoints.
    pub(crate) weighted_priority_health: bool,
}

impl Default for AssignmentPolicy {
    fn default() -> Self {
        Self { overprovisioning_factor: 140, weighted_priority_health: false }
    }
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// `load_balancing_weight`, at least 1.
    pub(crate) weight: u32,
    /// `health_status`
    pub(crate) health: EndpointHealth,
    /// `priority` of its group: 0 is used before all others.
    pub(crate) priority: u32,
    pub(crate) locality: Arc<Locality>,
    /// `hostname`, or the name that DNS was asked for.
    pub(crate) hostname: Option<Name>,
    /// `health_check_config`
    pub(crate) health_check: Option<Arc<EndpointHealthCheck>>,
    /// For the cluster's `transport_socket_matches`.
    pub(crate) labels: Labels,
    /// Under `envoy.lb` in its metadata: for subsets, `hash_key` and `canary`.
    pub(crate) lb_labels: Labels,
}

/// `health_status`: what discovery says of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndpointHealth {
    /// HEALTHY or UNKNOWN.
    #[default]
    Healthy,
    /// Used when there are too few healthy ones.
    Degraded,
    Unhealthy,
    Timeout,
    Draining,
}

/// Where an endpoint is, and the share of that place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Locality {
    pub(crate) region: Name,
    pub(crate) zone: Name,
    pub(crate) sub_zone: Name,
    /// `load_balancing_weight` of its group. Zero, the default, gets nothing by
    /// `locality_weighted_lb_config`.
    pub(crate) weight: u32,
}

/// Texts by their keys, from a part of an endpoint's metadata. A value that is no text has
/// its JSON behind a NUL, so that it equals no text.
pub(crate) type Labels = BTreeMap<Name, Name>;

impl Endpoint {
    /// Whether `canary: true` is under `envoy.lb` in its metadata.
    pub(crate) fn is_canary(&self) -> bool {
        self.lb_labels.get("canary").is_some_and(|canary| &**canary == "\0true")
    }

    /// An endpoint of which nothing but its address is known.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            weight: 1,
            health: EndpointHealth::Healthy,
            priority: 0,
            locality: Arc::default(),
            hostname: None,
            health_check: None,
            labels: Labels::new(),
            lb_labels: Labels::new(),
        }
    }
}

impl Locality {
    /// Its place in the order of localities.
    pub(crate) fn names(&self) -> [&str; 3] {
        [&self.region, &self.zone, &self.sub_zone]
    }
}
