//! Connections to a cluster's endpoints.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Cluster, Permit};
use crate::codec::Protocol;
use crate::endpoint::Endpoint;
use crate::transport::{self, ConnectError, Io};

/// A new connection. TCP_NODELAY is set.
pub(crate) struct Connected {
    pub(crate) io: Io,
    pub(crate) local: Option<SocketAddr>,
    /// Counts the connection; drop it when the connection is closed.
    pub(crate) open: OpenConnection,
}

/// Counts a connection of a cluster and an endpoint for as long as it lives.
pub(crate) struct OpenConnection {
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
    _permit: Permit,
}

/// Connects to an endpoint within the cluster's `connect_timeout`, the TLS handshake
/// included. The permit comes from [`Cluster::permit_connection`]; `protocol` is what will be
/// spoken, if it is known. Dropping the future gives up.
pub(crate) async fn connect(
    cluster: &Arc<Cluster>,
    endpoint: &Arc<Endpoint>,
    permit: Permit,
    protocol: Option<Protocol>,
) -> Result<Connected, ConnectError> {
    let open = OpenConnection::new(cluster, endpoint, permit);
    let connecting = establish(cluster, endpoint, endpoint.address, protocol);
    let outcome = match tokio::time::timeout(cluster.config.connect_timeout, connecting).await {
        Ok(outcome) => outcome,
        Err(_) => {
            cluster.stats().cx_connect_timeout.inc();
            Err(ConnectError::Timeout)
        }
    };
    match outcome {
        Ok((io, local)) => Ok(Connected { io, local, open }),
        Err(error) => {
            cluster.stats().cx_connect_fail.inc();
            endpoint.stats.cx_connect_fail.fetch_add(1, Relaxed);
            tracing::debug!(cluster = %cluster.config.name, address = %endpoint.address, %error,
                "connecting failed");
            Err(error)
        }
    }
}

/// A connection, spoken to as the endpoint is, with its own address. It is counted nowhere,
/// and takes as long as it takes.
pub(super) async fn establish(
    cluster: &Cluster,
    endpoint: &Endpoint,
    address: SocketAddr,
    protocol: Option<Protocol>,
) -> Result<(Io, Option<SocketAddr>), ConnectError> {
    let tls = endpoint.tls.as_ref().map(|tls| tls.ready(protocol)).transpose();
    let tls = tls.map_err(|error| cluster.ssl_stats().failed(error))?;
    let io = transport::dial(address, &cluster.config.bind_addresses).await?;
    let local = io.local_addr().ok();
    match tls {
        Some(tls) => Ok((tls.connect(io, cluster.ssl_stats()).await?, local)),
        None => Ok((Io::Plain(io), local)),
    }
}

impl OpenConnection {
    fn new(cluster: &Arc<Cluster>, endpoint: &Arc<Endpoint>, permit: Permit) -> Self {
        cluster.stats().cx_total.inc();
        cluster.stats().cx_active.inc();
        endpoint.stats.cx_total.fetch_add(1, Relaxed);
        endpoint.stats.cx_active.fetch_add(1, Relaxed);
        Self { cluster: Arc::clone(cluster), endpoint: Arc::clone(endpoint), _permit: permit }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.cluster.stats().cx_destroy.inc();
        self.cluster.stats().cx_active.dec();
        self.endpoint.stats.cx_active.fetch_sub(1, Relaxed);
    }
}
