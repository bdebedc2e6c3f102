//! A proxy's end of an ADS stream.
//!
//! ```no_run
//! # async fn example(node: mesh_proto::envoy::config::core::v3::Node) -> Result<(), mesh_xds::client::InvalidAddress> {
//! use mesh_xds::client::{Ads, Config, Event, endpoint};
//! use mesh_xds::{Names, ResourceType};
//!
//! let mut ads = Ads::connect(Config::new(vec![endpoint("http://10.244.0.1:15010")?.into()], node));
//! ads.subscribe(ResourceType::Cluster, Names::Wildcard);
//! loop {
//!     match ads.next().await {
//!         Event::Response(response) if response.resources.is_empty() => {
//!             ads.reject(&response, "a mesh without clusters".to_owned());
//!         }
//!         Event::Response(response) => ads.accept(&response),
//!         Event::Connected | Event::Disconnected { .. } => {}
//!     }
//! }
//! # }
//! ```

mod backoff;
mod driver;
mod subscriptions;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::envoy::config::core::v3::Node;
use prost_types::Any;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use crate::{Names, ResourceType};
pub use backoff::Backoff;
use driver::Command;

/// How to reach the server, and who asks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to: the servers of one control plane, each attempt at the next one, in turn.
    /// Without any, every attempt fails.
    pub servers: Vec<Server>,
    /// Which of its services.
    pub service: Service,
    /// Sent in the first request of each stream.
    pub node: Node,
    /// The wait before each new attempt.
    pub backoff: Backoff,
}

impl Config {
    /// With the default back-off, for aggregated discovery.
    pub fn new(servers: Vec<Server>, node: Node) -> Self {
        Self { servers, service: Service::Aggregated, node, backoff: Backoff::default() }
    }
}

/// A service of xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// ADS: every type on one stream.
    Aggregated,
    /// SDS by itself: [`ResourceType::Secret`] alone.
    Secrets,
}

/// One server of a control plane.
#[derive(Clone)]
pub struct Server(Arc<dyn Fn() -> Connecting + Send + Sync>);

/// A connection that is being made; the error is for people.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Channel, String>> + Send>>;

impl Server {
    /// One that is connected to by `connect`, which may take as long as it needs to: it is
    /// dropped when nobody waits any more.
    pub fn new(connect: impl Fn() -> Connecting + Send + Sync + 'static) -> Self {
        Self(Arc::new(connect))
    }
}

impl From<Endpoint> for Server {
    /// One without TLS. See [`endpoint`].
    fn from(endpoint: Endpoint) -> Self {
        Self::new(move || {
            let endpoint = endpoint.clone();
            Box::pin(async move { endpoint.connect().await.map_err(|error| explain(&error)) })
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server(..)")
    }
}

/// An error of a connection in full: tonic says "transport error" and keeps the reason in
/// the sources.
pub fn explain(error: &tonic::transport::Error) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

/// The server's address is no URI.
#[derive(Debug, thiserror::Error)]
#[error("xDS server address {address:?} is not valid: expected http://HOST:PORT or unix:PATH")]
pub struct InvalidAddress {
    address: String,
    source: tonic::transport::Error,
}

/// An endpoint for an xDS server: `http://HOST:PORT` or `unix:PATH`. Connecting may take
/// 5 s. A server that is gone without a word is noticed after 40 s, by HTTP/2 pings.
pub fn endpoint(address: &str) -> Result<Endpoint, InvalidAddress> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|source| InvalidAddress { address: address.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true))
}

/// What [`Ads::next`] yields.
#[derive(Debug)]
pub enum Event {
    /// A stream is open and the subscriptions are sent.
    Connected,
    /// No stream is open: an attempt failed, or the stream ended. What was accepted stays
    /// in force; another attempt follows.
    Disconnected {
        /// The reason, for the log.
        error: String,
        /// The wait until the next attempt.
        retry_in: Duration,
    },
    /// Resources. Each response must be answered, with [`Ads::accept`] or [`Ads::reject`].
    Response(Response),
}

/// A discovery response, to be answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// What the resources are.
    pub resource_type: ResourceType,
    /// The server's version of them.
    pub version: String,
    /// Clusters and listeners: the whole set, and what is absent is removed. The others: what
    /// changed, and nothing is said of the others; what is no longer wanted is
    /// unsubscribed from instead ([`ResourceType::is_whole_set`]). An item may be of another
    /// type than asked for, and is then the caller's to reject.
    pub resources: Vec<Any>,
    nonce: String,
    stream: u64,
}

/// A client that stays connected. Its work is done in a task of its own, which ends when
/// this is dropped.
#[derive(Debug)]
pub struct Ads {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
}

impl Ads {
    /// Starts to connect, on the current tokio runtime.
    pub fn connect(config: Config) -> Self {
        let (commands, command_receiver) = mpsc::unbounded_channel();
        // Small: a caller that is busy applying holds back the stream.
        let (event_sender, events) = mpsc::channel(4);
        tokio::spawn(driver::run(config, command_receiver, event_sender));
        Self { commands, events }
    }

    /// The next event. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends only after `self`, so there is nobody to wait here.
            None => std::future::pending().await,
        }
    }

    /// Asks for `names`, in place of what was asked for before; nothing is sent when they
    /// are the same. To be called before the [`accept`](Self::accept) of a response that
    /// leads to the names: the server then knows of them before it sends what depends on
    /// them (routes after the endpoints of new clusters).
    pub fn subscribe(&self, resource_type: ResourceType, names: Names) {
        self.send(Command::Subscribe(resource_type, names));
    }

    /// ACK: the resources are in force. As in Envoy, a server may hold back routes until the
    /// clusters before them are accepted; accept clusters when the new ones are warm.
    pub fn accept(&self, response: &Response) {
        self.send(Command::Answer(response.into(), None));
    }

    /// NACK. `message` names each bad resource and what is wrong with it; the good ones of
    /// the response may be in force all the same.
    pub fn reject(&self, response: &Response, message: String) {
        self.send(Command::Answer(response.into(), Some(message)));
    }

    fn send(&self, command: Command) {
        // Fails only when the runtime is being shut down.
        let _ = self.commands.send(command);
    }
}
