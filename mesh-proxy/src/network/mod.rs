//! Network filters: what a filter chain ends in.

mod connection;
mod http_connection_manager;
mod tcp_proxy;

pub(crate) use connection::{Connection, Counted};

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mesh_runtime::drain::Watcher;

use crate::access_log::Log;
use crate::config::NetworkFilter;
use crate::worker::{Shared, Worker};
use http_connection_manager::HttpConnectionManager;
use tcp_proxy::TcpProxy;

/// A network filter at work, shared by the workers.
pub(crate) enum Filter {
    Http(HttpConnectionManager),
    Tcp(Box<TcpProxy>),
}

impl Filter {
    /// An error is that of opening an access log.
    pub(crate) fn new(config: &NetworkFilter, shared: &Arc<Shared>) -> io::Result<Self> {
        Ok(match config {
            NetworkFilter::Http(config) => {
                Self::Http(HttpConnectionManager::new(Arc::clone(config), shared)?)
            }
            NetworkFilter::Tcp(config) => {
                Self::Tcp(Box::new(TcpProxy::new(Arc::clone(config), shared)?))
            }
        })
    }

    /// The logs that tell of connections, not of requests.
    pub(crate) fn connection_logs(&self) -> &[Log] {
        match self {
            Self::Http(_) => &[],
            Self::Tcp(filter) => filter.logs(),
        }
    }

    /// Counts a connection, before its TLS and as long as the guard is there.
    pub(crate) fn count(&self) -> Option<http_connection_manager::Counted> {
        match self {
            Self::Http(filter) => Some(filter.count()),
            Self::Tcp(filter) => {
                filter.count();
                None
            }
        }
    }

    /// Serves a connection to its end, which was counted. It ends soon when `drain` begins, and at once when
    /// `drain` says so.
    pub(crate) async fn serve(&self, connection: Connection, worker: Rc<Worker>, drain: Watcher) {
        match self {
            Self::Http(filter) => filter.serve(connection, worker, drain).await,
            Self::Tcp(filter) => filter.serve(connection, worker, drain).await,
        }
    }
}
