//! What meshctl asks, over a Unix socket: rules and status.

mod convert;
mod rules;
mod socket;
mod status;

use std::sync::Arc;

use mesh_proto::mesh::v1::rules_server::RulesServer;
use mesh_proto::mesh::v1::status_server::StatusServer;
use mesh_runtime::drain::Watcher;
use tokio_stream::wrappers::UnixListenerStream;

use crate::fleet::Fleet;
use crate::platform::PlatformAdapter;

pub use socket::{Socket, SocketError};

/// Serves both services until the drain begins and the open calls are answered.
pub async fn serve<P: PlatformAdapter>(
    socket: Socket,
    platform: Arc<P>,
    fleet: Arc<Fleet>,
    mut drain: Watcher,
) -> Result<(), tonic::transport::Error> {
    let (listener, _removed_at_the_end) = socket.into_parts();
    let rules = rules::Rules { platform: platform.clone() };
    let status = status::Status { platform, fleet, drain: drain.clone() };
    tonic::transport::Server::builder()
        .add_service(RulesServer::new(rules))
        .add_service(StatusServer::new(status))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async move {
            drain.begun().await;
        })
        .await
}
