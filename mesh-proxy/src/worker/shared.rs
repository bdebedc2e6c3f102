//! What the workers share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::{Census, Workers};
use crate::config::{ConnectionLimits, Name};
use crate::stats::Registry;
use crate::{access_log, cluster, routes, secrets};

/// What all workers and the control side share. No lock is taken on a request's path.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) workers: Workers,
    pub(crate) clusters: cluster::Manager,
    pub(crate) routes: routes::Tables,
    pub(crate) secrets: Arc<secrets::Secrets>,
    pub(crate) access_logs: access_log::Writers,
    pub(crate) census: Census,
    /// Set once, before anybody accepts, where there are some.
    pub(crate) limits: OnceLock<ConnectionLimits>,
    /// Health checks of the proxy are to fail (`POST /healthcheck/fail`).
    pub(crate) is_failing: AtomicBool,
    /// The node's cluster; set once the configuration is known.
    pub(crate) service_cluster: OnceLock<Name>,
}

impl Shared {
    /// For `concurrency` workers.
    pub(crate) fn new(concurrency: usize) -> Arc<Self> {
        let registry = Registry::new(concurrency);
        let access_logs = access_log::Writers::new(&registry);
        let secrets = Arc::<secrets::Secrets>::default();
        Arc::new(Self {
            census: Census::new(&registry),
            clusters: cluster::Manager::new(registry.clone(), Arc::clone(&secrets)),
            secrets,
            routes: routes::Tables::default(),
            registry,
            workers: Workers::default(),
            access_logs,
            limits: OnceLock::new(),
            is_failing: AtomicBool::new(false),
            service_cluster: OnceLock::new(),
        })
    }
}
