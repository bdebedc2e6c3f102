//! The client against the server's state machine, over real connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use mesh_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use mesh_testkit::{DEADLINE, free_address};
use mesh_xds::client::{Ads, Backoff, Config, Event, Response, endpoint};
use mesh_xds::server::{EncodedResource, Outcome, Resources, Stream as ServerStream};
use mesh_xds::{Names, ResourceType};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Status, Streaming};

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Sends the same resources to everybody, and tells what each request was.
struct Server {
    resources: watch::Receiver<Arc<Resources>>,
    outcomes: mpsc::UnboundedSender<(String, Outcome)>,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Server {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::StreamAggregatedResourcesStream>, Status> {
        let mut requests = request.into_inner();
        let mut resources = self.resources.clone();
        let outcomes = self.outcomes.clone();
        let (sender, responses) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut stream = ServerStream::default();
            let mut node = String::new();
            resources.mark_changed();
            loop {
                tokio::select! {
                    changed = resources.changed() => match changed {
                        Ok(()) => stream.set_resources(resources.borrow_and_update().clone()),
                        Err(_) => return,
                    },
                    request = requests.next() => {
                        let Some(Ok(request)) = request else { return };
                        node = request.node.as_ref().map_or(node, |node| node.id.clone());
                        let _ = outcomes.send((node.clone(), stream.request(&request)));
                    }
                }
                while let Some(response) = stream.next_response(Instant::now()) {
                    if sender.send(Ok(response)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("state of the world only"))
    }
}

/// A server in a runtime of its own: when it is dropped, its connections die with it.
struct Process(Option<Runtime>);

impl Drop for Process {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which an async context must not.
        let runtime = self.0.take();
        std::thread::spawn(move || drop(runtime)).join().unwrap();
    }
}

type Outcomes = mpsc::UnboundedReceiver<(String, Outcome)>;

/// A server on this address.
async fn serve(
    address: SocketAddr,
    resources: watch::Receiver<Arc<Resources>>,
) -> (SocketAddr, Process, Outcomes) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listening = runtime.spawn(async move {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let service = AggregatedDiscoveryServiceServer::new(Server { resources, outcomes });
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        (address, receiver)
    });
    let (address, receiver) = listening.await.unwrap();
    (address, Process(Some(runtime)), receiver)
}

fn clusters(names: &[&str]) -> Arc<Resources> {
    let mut resources = Resources::default();
    for name in names {
        let cluster = Cluster { name: (*name).to_owned(), ..Default::default() };
        let resource = Arc::new(EncodedResource::new(name, &cluster));
        resources.insert(ResourceType::Cluster, resource);
    }
    Arc::new(resources)
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("nothing happened")
}

async fn response(ads: &mut Ads) -> Response {
    loop {
        if let Event::Response(response) = within(ads.next()).await {
            return response;
        }
    }
}

fn client(addresses: &[SocketAddr]) -> Ads {
    let node = Node { id: "sidecar~test".to_owned(), ..Default::default() };
    let endpoints = addresses.iter().map(|a| endpoint(&format!("http://{a}")).unwrap());
    let mut config = Config::new(endpoints.map(Into::into).collect(), node);
    config.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
    Ads::connect(config)
}

#[tokio::test]
async fn resources_arrive_and_answers_return() {
    let (resources, receiver) = watch::channel(clusters(&["a"]));
    let (address, _server, mut outcomes) = serve(([127, 0, 0, 1], 0).into(), receiver).await;
    let mut ads = client(&[address]);
    ads.subscribe(ResourceType::Cluster, Names::Wildcard);

    let first = response(&mut ads).await;
    assert_eq!((first.resource_type, first.resources.len()), (ResourceType::Cluster, 1));
    let asked = ("sidecar~test".to_owned(), Outcome::Asked(ResourceType::Cluster));
    assert_eq!(within(outcomes.recv()).await.unwrap(), asked);
    ads.accept(&first);
    assert_eq!(within(outcomes.recv()).await.unwrap().1, Outcome::Acked(ResourceType::Cluster));

    resources.send_replace(clusters(&["a", "b"]));
    let second = response(&mut ads).await;
    assert_eq!(second.resources.len(), 2);
    ads.reject(&second, "cluster \"b\": unwanted".to_owned());
    let rejected = Outcome::Rejected {
        resource_type: ResourceType::Cluster,
        version: second.version.clone(),
        error: "cluster \"b\": unwanted".to_owned(),
    };
    assert_eq!(within(outcomes.recv()).await.unwrap().1, rejected);
}

#[tokio::test]
async fn a_server_that_comes_late_and_one_that_returns_are_found() {
    let address = free_address();
    let mut ads = client(&[address]);
    ads.subscribe(ResourceType::Cluster, Names::Wildcard);
    let Event::Disconnected { error, .. } = within(ads.next()).await else {
        panic!("connected to nobody")
    };
    assert!(error.contains("refused"), "{error}");

    let (resources, receiver) = watch::channel(clusters(&["a"]));
    let (_, server, _outcomes) = serve(address, receiver.clone()).await;
    let first = response(&mut ads).await;
    ads.accept(&first);

    // What the client has, a new process does not send again.
    drop(server);
    while !matches!(within(ads.next()).await, Event::Disconnected { .. }) {}
    let (_, _server, mut outcomes) = serve(address, receiver).await;
    while !matches!(within(ads.next()).await, Event::Connected) {}
    assert_eq!(within(outcomes.recv()).await.unwrap().1, Outcome::Asked(ResourceType::Cluster));
    resources.send_replace(clusters(&["b"]));
    let second = response(&mut ads).await;
    assert_ne!(first.version, second.version);
}

#[tokio::test]
async fn each_attempt_is_at_the_next_address() {
    let (_resources, receiver) = watch::channel(clusters(&["a"]));
    // Nobody listens on the first one.
    let (first, second) = (free_address(), free_address());
    let _served = serve(second, receiver).await;
    let mut ads = client(&[first, second]);
    ads.subscribe(ResourceType::Cluster, Names::Wildcard);
    assert!(matches!(within(ads.next()).await, Event::Disconnected { .. }));
    assert!(matches!(within(ads.next()).await, Event::Connected));
    assert_eq!(response(&mut ads).await.resources.len(), 1);
}

#[tokio::test]
async fn an_address_that_is_none_is_named() {
    let error = endpoint("http://[::1").unwrap_err().to_string();
    assert!(error.contains("\"http://[::1\""), "{error}");
}
