//! The discovery service: each proxy's stream, fed from the latest snapshot.

mod encode;
mod stream;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::Snapshot;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use mesh_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use mesh_runtime::drain::Watcher;
use mesh_xds::server::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::fleet::Fleet;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the streams share.
pub struct Discovery {
    /// The mesh.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Who is connected.
    pub fleet: Arc<Fleet>,
    /// Ends the streams.
    pub drain: Watcher,
    /// Resources in use by any stream.
    store: Arc<Store>,
}

impl Discovery {
    /// Streams of `snapshots`, noted in `fleet`, that end when the drain begins.
    pub fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        fleet: Arc<Fleet>,
        drain: Watcher,
    ) -> Self {
        Self { snapshots, fleet, drain, store: Arc::default() }
    }

    /// Serves proxies until the drain begins and their streams are ended.
    pub async fn serve(self, listener: TcpListener) -> Result<(), tonic::transport::Error> {
        let mut drain = self.drain.clone();
        tonic::transport::Server::builder()
            // A proxy that is gone without a word is noticed after 40 s.
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(AggregatedDiscoveryServiceServer::new(self))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                async move {
                    drain.begun().await;
                },
            )
            .await
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let peer = request.remote_addr();
        // One response ahead: a client that does not read is not written to.
        let (sender, responses) = mpsc::channel(1);
        let stream = stream::ProxyStream {
            snapshots: self.snapshots.clone(),
            fleet: self.fleet.clone(),
            store: self.store.clone(),
            drain: self.drain.clone(),
            requests: request.into_inner(),
            responses: sender,
        };
        tokio::spawn(stream.run(peer));
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "delta xDS is not served; use StreamAggregatedResources (api_type GRPC, not DELTA_GRPC)",
        ))
    }
}
