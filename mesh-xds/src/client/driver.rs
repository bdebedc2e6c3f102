//! The task behind [`super::Ads`]: it connects, and carries requests and responses between
//! tonic and the state machine.

use std::future::Future;

use mesh_proto::envoy::service::discovery::v3::{
    DiscoveryRequest,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;
use tracing::{debug, warn};

use super::subscriptions::{Answer, Subscriptions};
use super::{Config, Event, Response};
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

impl From<tonic::Status> for End {
    fn from(status: tonic::Status) -> Self {
        Self::Failed(format!("{}: {}", status.code(), status.message()))
    }
}

impl From<tonic::transport::Error> for End {
    fn from(error: tonic::transport::Error) -> Self {
        // tonic says "transport error" and keeps the reason in the sources.
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::Failed(message)
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

    /// The next address: one that is gone must not keep us from the others.
    fn next_endpoint(&mut self) -> Result<Endpoint, End> {
        let endpoints = &self.config.endpoints;
        let at = self.attempts.checked_rem(endpoints.len()).unwrap_or_default();
        self.attempts = self.attempts.wrapping_add(1);
        let endpoint = endpoints.get(at).cloned();
        endpoint.ok_or_else(|| End::Failed("the control plane has no address".to_owned()))
    }

    async fn try_connection(&mut self) -> Result<(), End> {
        let endpoint = self.next_endpoint()?;
        let channel = self.meanwhile(endpoint.connect()).await??;
        let mut client = Client::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);

        let (requests, request_stream) = mpsc::unbounded_channel();
        for request in self.subscriptions.stream_opened() {
            send(&requests, request);
        }
        // Some servers send no headers before their first response, so the requests made
        // meanwhile are already on their way.
        let open = client.stream_aggregated_resources(UnboundedReceiverStream::new(request_stream));
        tokio::pin!(open);
        let mut responses = loop {
            tokio::select! {
                opened = &mut open => break opened?.into_inner(),
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

    async fn response(
        &mut self,
        message: mesh_proto::envoy::service::discovery::v3::DiscoveryResponse,
    ) -> Result<(), End> {
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
