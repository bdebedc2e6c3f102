//! What meshctl asks, over a Unix socket or the loopback address: rules and status.

mod convert;
mod rules;
mod socket;
mod status;

use std::sync::Arc;

use mesh_proto::mesh::v1::rules_server::RulesServer;
use mesh_proto::mesh::v1::status_server::StatusServer;
use mesh_runtime::drain::Watcher;
use tokio::net::TcpListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::TcpIncoming;

use crate::fleet::Fleet;
use crate::platform::PlatformAdapter;

pub use socket::{Socket, SocketError};

/// Where meshctl asks.
#[derive(Debug)]
pub enum Listener {
    /// On one machine: who may open the file may ask.
    Socket(Socket),
    /// In a pod, on the loopback address: who may forward ports to the pod may ask.
    Loopback(TcpListener),
}

/// Serves both services until the drain begins and the open calls are answered.
pub async fn serve<P: PlatformAdapter>(
    listener: Listener,
    platform: Arc<P>,
    fleet: Arc<Fleet>,
    mut drain: Watcher,
) -> Result<(), tonic::transport::Error> {
    let rules = rules::Rules { platform: platform.clone() };
    let status = status::Status { platform, fleet, drain: drain.clone() };
    let server = tonic::transport::Server::builder()
        .add_service(RulesServer::new(rules))
        .add_service(StatusServer::new(status));
    let drained = async move {
        drain.begun().await;
    };
    match listener {
        Listener::Socket(socket) => {
            let (listener, _removed_at_the_end) = socket.into_parts();
            let incoming = UnixListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, drained).await
        }
        Listener::Loopback(listener) => {
            server.serve_with_incoming_shutdown(TcpIncoming::from(listener), drained).await
        }
    }
}
