//! The task behind [`super::Ads`]: it connects, and carries requests and responses between
//! tonic and the state machine.

use std::future::Future;

use mesh_proto::envoy::service::discovery::v3::{
    DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Aggregated,
};
use mesh_proto::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient as Secrets;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::{debug, warn};

use super::subscriptions::{Answer, Subscriptions};
use super::{Config, Event, Response, Server, Service};
use crate::{Names, ResourceType};

/// A control plane is trusted to this length of one message.
const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// What the handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Subscribe(ResourceType, Names),
    /// An ACK, or a NACK with its message.
    Answer(Answer, Option<String>),
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        Self {
            resource_type: response.resource_type,
            version: response.version.clone(),
            nonce: response.nonce.clone(),
            stream: response.stream,
        }
    }
}

/// Why a connection's part of the loop ended.
enum End {
    /// The handle was dropped.
    Handle,
    Failed(String),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Failed(format!("{}: {}", status.code(), status.message()))
    }
}

struct Driver {
    config: Config,
    attempts: usize,
    subscriptions: Subscriptions,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
}

/// Runs until the handle is dropped.
pub(super) async fn run(
    config: Config,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
) {
    let subscriptions = Subscriptions::new(config.node.clone());
    let mut driver = Driver { config, attempts: 0, subscriptions, commands, events };
    while let End::Failed(error) = driver.connection().await {
        driver.subscriptions.stream_closed();
        let retry_in = driver.config.backoff.next_wait();
        if driver.events.send(Event::Disconnected { error, retry_in }).await.is_err()
            || driver.meanwhile(tokio::time::sleep(retry_in)).await.is_err()
        {
            return;
        }
    }
}

impl Driver {
    /// One connection, from the first attempt to its end.
    async fn connection(&mut self) -> End {
        match self.try_connection().await {
            Ok(()) => End::Handle,
            Err(end) => end,
        }
    }

    /// The next one: a server that is gone must not keep us from the others.
    fn next_server(&mut self) -> Result<Server, End> {
        let servers = &self.config.servers;
        let at = self.attempts.checked_rem(servers.len()).unwrap_or_default();
        self.attempts = self.attempts.wrapping_add(1);
        let server = servers.get(at).cloned();
        server.ok_or_else(|| End::Failed("the control plane has no address".to_owned()))
    }

    async fn try_connection(&mut self) -> Result<(), End> {
        let server = self.next_server()?;
        let channel = self.meanwhile((server.0)()).await?.map_err(End::Failed)?;
        let (requests, request_stream) = mpsc::unbounded_channel();
        for request in self.subscriptions.stream_opened() {
            send(&requests, request);
        }
        // Some servers send no headers before their first response, so the requests made
        // meanwhile are already on their way.
        let open = open(self.config.service, channel, UnboundedReceiverStream::new(request_stream));
        tokio::pin!(open);
        let mut responses = loop {
            tokio::select! {
                opened = &mut open => break opened?,
                command = self.commands.recv() => self.command(command, Some(&requests))?,
            }
        };
        self.event(Event::Connected).await?;
        loop {
            tokio::select! {
                message = responses.message() => match message? {
                    Some(message) => self.response(message).await?,
                    None => return Err(End::Failed("the server ended the stream".to_owned())),
                },
                command = self.commands.recv() => self.command(command, Some(&requests))?,
            }
        }
    }

    async fn response(&mut self, message: DiscoveryResponse) -> Result<(), End> {
        self.config.backoff.reset();
        match self.subscriptions.response(message) {
            Ok(response) => self.event(Event::Response(response)).await,
            Err(unexpected) => {
                warn!(type_url = unexpected.type_url, "xDS response that nobody asked for");
                Ok(())
            }
        }
    }

    async fn event(&self, event: Event) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Handle)
    }

    /// Awaits `future` and takes commands meanwhile, while no stream is open.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Result<F::Output, End> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                command = self.commands.recv() => self.command(command, None)?,
            }
        }
    }

    fn command(
        &mut self,
        command: Option<Command>,
        requests: Option<&mpsc::UnboundedSender<DiscoveryRequest>>,
    ) -> Result<(), End> {
        let request = match command.ok_or(End::Handle)? {
            Command::Subscribe(resource_type, names) => {
                self.subscriptions.subscribe(resource_type, names)
            }
            Command::Answer(answer, None) => self.subscriptions.accept(&answer),
            Command::Answer(answer, Some(message)) => self.subscriptions.reject(&answer, message),
        };
        if let (Some(requests), Some(request)) = (requests, request) {
            send(requests, request);
        }
        Ok(())
    }
}

/// Opens the stream of a service.
async fn open(
    service: Service,
    channel: Channel,
    requests: UnboundedReceiverStream<DiscoveryRequest>,
) -> Result<Streaming<DiscoveryResponse>, Status> {
    let opened = match service {
        Service::Aggregated => {
            let mut client = Aggregated::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
            client.stream_aggregated_resources(requests).await
        }
        Service::Secrets => {
            let mut client = Secrets::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
            client.stream_secrets(requests).await
        }
    };
    opened.map(tonic::Response::into_inner)
}

fn send(requests: &mpsc::UnboundedSender<DiscoveryRequest>, request: DiscoveryRequest) {
    debug!(
        type_url = request.type_url,
        names = request.resource_names.len(),
        nonce = request.response_nonce,
        "xDS request"
    );
    // When the stream has ended, the next read says so, and a new one starts from scratch.
    let _ = requests.send(request);
}
