//! The file that the proxy starts with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, Listener, Name, Secret};

/// Envoy's `Bootstrap`, as far as it is honoured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bootstrap {
    /// `admin.address`; without it there are no admin pages.
    pub(crate) admin: Option<SocketAddr>,
    /// `static_resources.listeners`.
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// `static_resources.clusters`.
    pub(crate) clusters: Vec<Arc<Cluster>>,
    /// `static_resources.secrets`
    pub(crate) secrets: Vec<(Name, Arc<Secret>)>,
    /// `dynamic_resources.ads_config`, when listeners or clusters come by ADS.
    pub(crate) ads: Option<AdsSource>,
    pub(crate) limits: ConnectionLimits,
}

/// How many connections there may be (`layered_runtime`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// `overload.global_downstream_max_connections`
    pub(crate) all: Option<u64>,
    /// `envoy.resource_limits.listener.<name>.connection_limit`
    pub(crate) of_listener: HashMap<Name, u64>,
}

impl ConnectionLimits {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_none() && self.of_listener.is_empty()
    }
}

impl Bootstrap {
    /// The static clusters that gRPC may go to.
    pub(crate) fn grpc_targets(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.iter().filter(|cluster| cluster.is_grpc_target())
    }
}

/// Where the aggregated discovery stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdsSource {
    /// The static cluster of the control plane (`envoy_grpc.cluster_name`).
    pub(crate) cluster: Name,
    /// `lds_config`, when it says ADS.
    pub(crate) listeners: Option<Subscription>,
    /// `cds_config`, when it says ADS.
    pub(crate) clusters: Option<Subscription>,
}

/// A `ConfigSource` that says ADS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// How long the start waits for the first answer. `None`: for ever. Envoy's default is
    /// 15 seconds.
    pub(crate) initial_fetch_timeout: Option<Duration>,
}
