//! A scripted proxy: it asks for everything, answers each response, and keeps what it saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh_proto::google::rpc::Status;
use mesh_xds::ResourceType::{self, Cluster, Endpoint, Listener, Route, Secret};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// The service name and the route table that the test proxies ask for.
const ENDPOINTS: &str = "outbound|9080||reviews.default.svc.cluster.local";
const ROUTES: &str = "9080";

/// A response, as far as tests look.
#[derive(Clone, Debug)]
pub struct Seen {
    pub resource_type: ResourceType,
    pub resources: usize,
    pub response: DiscoveryResponse,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    accepted: BTreeMap<ResourceType, String>,
    reject: Option<(ResourceType, String)>,
}

pub struct Peer {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Connects as the sidecar of `pod`.
    pub async fn connect(xds: SocketAddr, pod: &str) -> Self {
        Self::open(xds, pod, BTreeMap::new()).await
    }

    /// A new stream of a proxy that keeps what it has.
    pub async fn reconnect(self, xds: SocketAddr, pod: &str) -> Self {
        let versions = self.state.lock().unwrap().accepted.clone();
        drop(self);
        Self::open(xds, pod, versions).await
    }

    async fn open(xds: SocketAddr, pod: &str, versions: BTreeMap<ResourceType, String>) -> Self {
        let address = format!("http://{xds}");
        let mut client = AggregatedDiscoveryServiceClient::connect(address).await.unwrap();
        let (requests, stream) = mpsc::unbounded_channel();
        // Secrets are the agent's to give.
        let asked = ResourceType::ALL.into_iter().filter(|t| *t != ResourceType::Secret);
        for resource_type in asked {
            let version_info = versions.get(&resource_type).cloned().unwrap_or_default();
            let node = (resource_type == Cluster).then(|| node(pod));
            let first = DiscoveryRequest { version_info, node, ..request(resource_type) };
            requests.send(first).unwrap();
        }
        let stream = UnboundedReceiverStream::new(stream);
        let mut responses = client.stream_aggregated_resources(stream).await.unwrap().into_inner();
        let state = Arc::new(Mutex::new(State { accepted: versions, ..State::default() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok(Some(response)) = responses.message().await {
                let answer = shared.lock().unwrap().answer(response);
                if requests.send(answer).is_err() {
                    return;
                }
            }
        });
        Self { state, task }
    }

    /// From now on refuses responses of a type.
    pub fn reject(&self, resource_type: ResourceType, error: &str) {
        self.state.lock().unwrap().reject = Some((resource_type, error.to_owned()));
    }

    /// What arrived since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// The types of what arrived since the last call.
    pub fn take_types(&self) -> Vec<ResourceType> {
        self.take_seen().into_iter().map(|seen| seen.resource_type).collect()
    }
}

impl State {
    fn answer(&mut self, response: DiscoveryResponse) -> DiscoveryRequest {
        let resource_type = ResourceType::from_type_url(&response.type_url).unwrap();
        let error = match &self.reject {
            Some((refused, error)) if *refused == resource_type => Some(error.clone()),
            _ => None,
        };
        if error.is_none() {
            self.accepted.insert(resource_type, response.version_info.clone());
        }
        let answer = DiscoveryRequest {
            version_info: self.accepted.get(&resource_type).cloned().unwrap_or_default(),
            response_nonce: response.nonce.clone(),
            error_detail: error.map(|message| Status { code: 3, message, details: Vec::new() }),
            ..request(resource_type)
        };
        self.seen.push(Seen { resource_type, resources: response.resources.len(), response });
        answer
    }
}

fn request(resource_type: ResourceType) -> DiscoveryRequest {
    let names = match resource_type {
        Cluster | Listener | Secret => Vec::new(),
        Endpoint => vec![ENDPOINTS.to_owned()],
        Route => vec![ROUTES.to_owned()],
    };
    DiscoveryRequest {
        type_url: resource_type.type_url().to_owned(),
        resource_names: names,
        ..Default::default()
    }
}

fn node(pod: &str) -> Node {
    Node {
        id: format!("sidecar~10.244.0.11~{pod}.default~default.svc.cluster.local"),
        cluster: "reviews.default".to_owned(),
        user_agent_name: "scripted".to_owned(),
        ..Default::default()
    }
}
