//! Connections to upstreams, kept by each worker for itself.
//!
//! There is a pool for each endpoint and protocol in use; it goes when its last connection
//! does. A connection that the upstream closed is forgotten at once, and so are the idle
//! ones of an endpoint that leaves its cluster.

mod http1;
mod http2;
mod keeper;
mod lifetime;

pub(crate) use http1::Http1Lease;
pub(crate) use http2::Http2Lease;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::Response;
use http::request::Parts;

use crate::cluster::{Cluster, Overflow, Permit};
use crate::codec::client::SendError;
use crate::codec::{Body, Protocol};
use crate::config::RoutingPriority;
use crate::endpoint::Endpoint;
use crate::transport::ConnectError;

/// The pools of one worker, by the endpoint's id.
#[derive(Clone, Default)]
pub(crate) struct Pools(Rc<Maps>);

type Map<P> = RefCell<HashMap<u64, Rc<P>, RandomState>>;

#[derive(Default)]
struct Maps {
    http1: Map<http1::Pool>,
    http2: Map<http2::Pool>,
}

/// No connection is to be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AcquireError {
    #[error("overflow")]
    Overflow,
    /// There may be no more pools: as if there were no endpoint, as in Envoy.
    #[error("no pool")]
    NoPool,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The codec could not begin.
    #[error("{0}")]
    Handshake(Arc<str>),
}

/// A connection for one request. Dropped before the response is complete, an HTTP/1
/// connection is closed and an HTTP/2 stream reset.
pub(crate) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// It was made after those that a try has just failed on.
    pub(crate) fresh: bool,
    /// Which circuit breakers count.
    pub(crate) priority: RoutingPriority,
}

/// Counts a new pool.
fn permit(cluster: &Cluster, wanted: Wanted) -> Result<Permit, AcquireError> {
    cluster.permit_pool(wanted.priority).map_err(|Overflow| {
        cluster.stats().cx_pool_overflow.inc();
        AcquireError::NoPool
    })
}

impl Pools {
    /// A connection to the endpoint: an idle one unless it must be fresh, or a new one.
    /// Dropping the future gives up waiting.
    pub(crate) async fn acquire(
        &self,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<Endpoint>,
        protocol: Protocol,
        wanted: Wanted,
    ) -> Result<Lease, AcquireError> {
        match protocol {
            Protocol::Http1 => {
                let known = self.0.http1.borrow().get(&endpoint.id).cloned();
                let pool = match known {
                    Some(pool) => pool,
                    None => http1::Pool::new(&self.0, cluster, endpoint, permit(cluster, wanted)?),
                };
                pool.acquire(cluster, wanted).await.map(Lease::Http1)
            }
            Protocol::Http2 => {
                let known = self.0.http2.borrow().get(&endpoint.id).cloned();
                let pool = match known {
                    Some(pool) => pool,
                    None => http2::Pool::new(&self.0, cluster, endpoint, permit(cluster, wanted)?),
                };
                pool.acquire(cluster, wanted).await.map(Lease::Http2)
            }
        }
    }
}

impl Lease {
    /// Whether the connection has served a request before: it may be closing just now.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.is_reused(),
            Self::Http2(lease) => lease.is_reused(),
        }
    }

    /// The proxy's own address on this connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Http1(lease) => lease.local(),
            Self::Http2(lease) => lease.local(),
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, SendError> {
        match self {
            Self::Http1(lease) => lease.send(head, body).await,
            Self::Http2(lease) => lease.send(head, body).await,
        }
    }

    /// Gives the connection back: the response has come to its end.
    pub(crate) fn complete(self) {
        if let Self::Http1(lease) = self {
            lease.complete();
        }
    }
}

impl From<Overflow> for AcquireError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}
