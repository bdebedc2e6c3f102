//! The discovery service: each proxy's stream, fed from the latest snapshot.

mod encode;
mod peer;
mod shared;
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
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use self::shared::Shared;
use crate::ca::Ca;
use crate::fleet::Fleet;

/// Of one connection; a proxy has one or two.
const MAX_STREAMS: u32 = 100;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the streams share.
pub struct Discovery {
    /// The mesh.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Who is connected.
    pub fleet: Arc<Fleet>,
    /// Ends the streams.
    pub drain: Watcher,
    /// What several of them are told.
    shared: Arc<Shared>,
}

impl Discovery {
    /// Streams of `snapshots`, noted in `fleet`, that end when the drain begins.
    pub fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        fleet: Arc<Fleet>,
        drain: Watcher,
    ) -> Self {
        Self { snapshots, fleet, drain, shared: Arc::default() }
    }

    /// Serves proxies without TLS until the drain begins and their streams are ended.
    pub async fn serve_plain(
        self: Arc<Self>,
        listener: TcpListener,
    ) -> Result<(), tonic::transport::Error> {
        let mut drain = self.drain.clone();
        server()
            .add_service(AggregatedDiscoveryServiceServer::from_arc(self))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                async move {
                    drain.begun().await;
                },
            )
            .await
    }

    /// Serves proxies over TLS, and the authority from which they have their certificates,
    /// until the drain begins and the streams are ended.
    pub async fn serve_secure(
        self: Arc<Self>,
        listener: TcpListener,
        ca: &Ca,
    ) -> Result<(), tonic::transport::Error> {
        let mut drain = self.drain.clone();
        server()
            .add_service(AggregatedDiscoveryServiceServer::from_arc(self))
            .add_service(ca.service())
            .serve_with_incoming_shutdown(
                mesh_tls::incoming(listener, ca.config(), ca.connections()),
                async move {
                    drain.begun().await;
                },
            )
            .await
    }
}

fn server() -> Server {
    Server::builder()
        // A proxy that is gone without a word is noticed after 40 s.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(Some(MAX_STREAMS))
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let peer = peer::Peer::of(&request)?;
        // One response ahead: a client that does not read is not written to.
        let (sender, responses) = mpsc::channel(1);
        let stream = stream::ProxyStream {
            snapshots: self.snapshots.clone(),
            fleet: self.fleet.clone(),
            shared: self.shared.clone(),
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
