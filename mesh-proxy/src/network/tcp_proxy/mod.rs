//! The TCP proxy: bytes both ways.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mesh_runtime::drain::Watcher;

use crate::config;
use crate::listener::Connection;
use crate::server::Shared;
use crate::worker::Worker;

/// Envoy's TCP proxy at work.
pub(crate) struct TcpProxy {
    config: Arc<config::TcpProxy>,
}

impl TcpProxy {
    /// An error is that of opening an access log.
    pub(crate) fn new(config: Arc<config::TcpProxy>, shared: &Arc<Shared>) -> io::Result<Self> {
        let _ = shared;
        Ok(Self { config })
    }

    pub(crate) async fn serve(&self, connection: Connection, worker: Rc<Worker>, drain: Watcher) {
        let _ = (connection, worker, drain);
    }
}
