//! A control plane that says what a test tells it to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use mesh_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use mesh_proto::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use prost::{Message, Name};
use prost_types::Any;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use crate::background::Background;
use crate::{eventually, free_address};

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Sender = mpsc::UnboundedSender<Result<DiscoveryResponse, Status>>;

/// One request that a client has made.
#[derive(Clone, Debug)]
pub struct Seen {
    /// "type.googleapis.com/envoy.config.cluster.v3.Cluster".
    pub type_url: String,
    /// The last version that the client took.
    pub version: String,
    /// The nonce of the response that it answers; empty for the first request.
    pub nonce: String,
    /// The resources that it wants; empty for all.
    pub names: Vec<String>,
    /// Why it refused the response.
    pub error: Option<String>,
    /// The client's node; only the stream's first request must have it.
    pub node: Option<Node>,
}

/// Serves aggregated discovery (ADS, state of the world), and discovery of secrets (SDS) by
/// itself, over plain gRPC to any number of clients, all with the same resources.
///
/// A type's resources are sent to each stream that asks for the type: when it first does,
/// when its names change, and when the test sets other ones. A type that was never set gets
/// no answer.
pub struct XdsServer {
    /// `None` on a Unix socket.
    address: Option<SocketAddr>,
    state: Arc<Mutex<State>>,
    _server: Background,
}

#[derive(Default)]
struct State {
    /// By type URL, with the version.
    resources: BTreeMap<String, (String, Vec<Any>)>,
    streams: Vec<Peer>,
    seen: VecDeque<Seen>,
    nonces: u64,
}

/// A client's stream.
struct Peer {
    sender: Sender,
    /// The names that it has last asked for, by type URL.
    wants: BTreeMap<String, Vec<String>>,
}

impl XdsServer {
    /// Starts one on a free port of 127.0.0.1, with nothing to send.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(free_address())
    }

    /// Starts one on this address: the place of one that went away, for example.
    ///
    /// # Panics
    /// When the address is in use.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = Some(listener.local_addr().unwrap());
        let (state, router) = router();
        let server = Background::start(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let _ = router.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Self { address, state, _server: server }
    }

    /// Starts one on a free port of 127.0.0.1 that speaks TLS.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        let listener = std::net::TcpListener::bind(free_address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = Some(listener.local_addr().unwrap());
        let (state, router) = router();
        let server = Background::start(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (_current, config) = watch::channel(config);
            let incoming = mesh_tls::incoming(listener, config, Arc::default());
            let _ = router.serve_with_incoming(incoming).await;
        });
        Self { address, state, _server: server }
    }

    /// Starts one on a Unix socket, in the place of one that may have been there.
    ///
    /// # Panics
    /// When there can be no socket.
    #[must_use]
    pub fn start_unix(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (state, router) = router();
        let server = Background::start(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let _ = router.serve_with_incoming(UnixListenerStream::new(listener)).await;
        });
        Self { address: None, state, _server: server }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// On a Unix socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// Sets and sends all resources of one type.
    pub fn set<M: Message + Name>(&self, version: &str, resources: &[M]) {
        let resources = resources.iter().map(mesh_proto::any::pack).collect();
        self.set_any(&M::type_url(), version, resources);
    }

    /// Sets and sends all resources of a type, encoded: also broken ones.
    pub fn set_any(&self, type_url: &str, version: &str, resources: Vec<Any>) {
        let mut state = self.lock();
        state.resources.insert(type_url.to_owned(), (version.to_owned(), resources));
        state.push(type_url);
    }

    /// Ends every stream; the server goes on, so clients may come again.
    pub fn disconnect(&self) {
        self.lock().streams.clear();
    }

    /// How many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        let mut state = self.lock();
        state.streams.retain(|peer| !peer.sender.is_closed());
        state.streams.len()
    }

    /// Waits for a request that is `wanted`, and gives it. Those before it are forgotten.
    ///
    /// # Panics
    /// After [`crate::DEADLINE`].
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        eventually(what, || {
            let mut state = self.lock();
            let at = state.seen.iter().position(&wanted)?;
            state.seen.drain(..=at).next_back()
        })
    }

    /// Waits until a client has taken this version of a type.
    ///
    /// # Panics
    /// After [`crate::DEADLINE`].
    #[track_caller]
    pub fn wait_for_ack<M: Message + Name>(&self, version: &str) -> Seen {
        let type_url = M::type_url();
        self.wait_for(&format!("an ACK of {version} of {type_url}"), |seen| {
            let answer = seen.type_url == type_url && !seen.nonce.is_empty();
            answer && seen.error.is_none() && seen.version == version
        })
    }

    /// Waits until a client has refused a response of a type; gives its reason.
    ///
    /// # Panics
    /// After [`crate::DEADLINE`].
    #[track_caller]
    pub fn wait_for_nack<M: Message + Name>(&self) -> String {
        let type_url = M::type_url();
        let seen = self.wait_for(&format!("a NACK of {type_url}"), |seen| {
            seen.type_url == type_url && seen.error.is_some()
        });
        seen.error.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server of a new state serves.
fn router() -> (Arc<Mutex<State>>, Router) {
    let state = Arc::new(Mutex::new(State::default()));
    let router = tonic::transport::Server::builder()
        .add_service(AggregatedDiscoveryServiceServer::new(Service(state.clone())))
        .add_service(SecretDiscoveryServiceServer::new(Service(state.clone())));
    (state, router)
}

impl State {
    /// Sends a type's resources to every stream that has asked for it.
    fn push(&mut self, type_url: &str) {
        for index in 0..self.streams.len() {
            if self.streams[index].wants.contains_key(type_url) {
                self.send(index, type_url);
            }
        }
    }

    fn send(&mut self, index: usize, type_url: &str) {
        let Some((version, resources)) = self.resources.get(type_url) else { return };
        self.nonces += 1;
        let response = DiscoveryResponse {
            version_info: version.clone(),
            resources: resources.clone(),
            type_url: type_url.to_owned(),
            nonce: self.nonces.to_string(),
            ..DiscoveryResponse::default()
        };
        // A stream that its client has left gets no more.
        let _ = self.streams[index].sender.send(Ok(response));
    }

    fn request(&mut self, sender: &Sender, request: DiscoveryRequest) {
        let type_url = request.type_url.clone();
        self.seen.push_back(Seen {
            type_url: type_url.clone(),
            version: request.version_info,
            nonce: request.response_nonce,
            names: request.resource_names.clone(),
            error: request.error_detail.map(|status| status.message),
            node: request.node,
        });
        let same = |peer: &Peer| peer.sender.same_channel(sender);
        let Some(index) = self.streams.iter().position(same) else { return };
        let names = request.resource_names;
        let before = self.streams[index].wants.insert(type_url.clone(), names.clone());
        if before != Some(names) {
            self.send(index, &type_url);
        }
    }
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Ok(Response::new(self.open(request.into_inner())))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(no_delta())
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Service {
    type StreamSecretsStream = Responses<DiscoveryResponse>;
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(Response::new(self.open(request.into_inner())))
    }

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(no_delta())
    }

    async fn fetch_secrets(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("this server speaks streams"))
    }
}

fn no_delta() -> Status {
    Status::unimplemented("this server speaks state of the world")
}

impl Service {
    /// A client's new stream.
    fn open(&self, mut requests: Streaming<DiscoveryRequest>) -> Responses<DiscoveryResponse> {
        let state = self.0.clone();
        let (sender, responses) = mpsc::unbounded_channel();
        let peer = Peer { sender: sender.clone(), wants: BTreeMap::new() };
        state.lock().unwrap_or_else(PoisonError::into_inner).streams.push(peer);
        // Weak, so that `disconnect` drops the last sender and so ends the stream.
        let sender = sender.downgrade();
        tokio::spawn(async move {
            while let Some(Ok(request)) = requests.next().await {
                let Some(sender) = sender.upgrade() else { return };
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.request(&sender, request);
            }
        });
        Box::pin(UnboundedReceiverStream::new(responses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::envoy::config::cluster::v3::Cluster;
    use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client as ads;

    fn cluster(name: &str) -> Cluster {
        Cluster { name: name.to_owned(), ..Cluster::default() }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_set_is_sent_and_answers_are_seen() {
        let server = XdsServer::start();
        server.set("1", &[cluster("a")]);
        let url = format!("http://{}", server.address());
        let mut client = ads::AggregatedDiscoveryServiceClient::connect(url).await.unwrap();
        let (requests, receiver) = mpsc::unbounded_channel();
        let ask = |version: &str, nonce: &str| DiscoveryRequest {
            type_url: Cluster::type_url(),
            version_info: version.to_owned(),
            response_nonce: nonce.to_owned(),
            ..DiscoveryRequest::default()
        };
        requests.send(ask("", "")).unwrap();
        let stream = UnboundedReceiverStream::new(receiver);
        let mut responses = client.stream_aggregated_resources(stream).await.unwrap().into_inner();

        let first = responses.next().await.unwrap().unwrap();
        assert_eq!((first.version_info.as_str(), first.resources.len()), ("1", 1));
        requests.send(ask("1", &first.nonce)).unwrap();
        server.wait_for_ack::<Cluster>("1");

        server.set("2", &[cluster("a"), cluster("b")]);
        let second = responses.next().await.unwrap().unwrap();
        assert_eq!((second.version_info.as_str(), second.resources.len()), ("2", 2));
        let error =
            mesh_proto::google::rpc::Status { message: "no".to_owned(), ..Default::default() };
        requests
            .send(DiscoveryRequest { error_detail: Some(error), ..ask("1", &second.nonce) })
            .unwrap();
        assert_eq!(server.wait_for_nack::<Cluster>(), "no");

        assert_eq!(server.streams(), 1);
        server.disconnect();
        assert!(responses.next().await.is_none());
        assert_eq!(server.streams(), 0);
    }
}
