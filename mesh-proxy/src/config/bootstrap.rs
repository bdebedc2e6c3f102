//! The file that the proxy starts with.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Cluster, Listener, Name};

/// Envoy's `Bootstrap`, as far as it is honoured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bootstrap {
    /// `admin.address`; without it there are no admin pages.
    pub(crate) admin: Option<SocketAddr>,
    /// `static_resources.listeners`.
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// `static_resources.clusters`.
    pub(crate) clusters: Vec<Arc<Cluster>>,
    /// `dynamic_resources.ads_config`, when listeners or clusters come by ADS.
    pub(crate) ads: Option<AdsSource>,
}

/// Where the aggregated discovery stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdsSource {
    /// The static cluster of the control plane (`envoy_grpc.cluster_name`).
    pub(crate) cluster: Name,
    /// Whether `lds_config` says ADS.
    pub(crate) listeners: bool,
    /// Whether `cds_config` says ADS.
    pub(crate) clusters: bool,
}
