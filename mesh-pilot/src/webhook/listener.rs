//! The mesh's TLS connections, as axum takes them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use mesh_tls::{AcceptCounters, Connection, incoming};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

pub(super) struct TlsListener {
    connections: ReceiverStream<io::Result<Connection>>,
    address: SocketAddr,
}

impl TlsListener {
    pub(super) fn new(
        listener: TcpListener,
        config: watch::Receiver<Arc<ServerConfig>>,
        counters: Arc<AcceptCounters>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { connections: incoming(listener, config, counters), address })
    }
}

impl Listener for TlsListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => {
                    let address = connection.connect_info().address;
                    return (connection, address);
                }
                Some(Err(error)) => tracing::warn!(%error, "a connection is lost"),
                // It accepts for as long as there is this end.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
