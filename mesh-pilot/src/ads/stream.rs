//! One proxy's stream, from its first request to its end.

use std::sync::Arc;
use std::time::Instant;

use mesh_model::Snapshot;
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh_runtime::drain::Watcher;
use mesh_xds::server::{Outcome, Stream};
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::peer::Peer;
use super::shared::Shared;
use crate::fleet::{Connection, Fleet};
use crate::translate::Proxy;

/// A stream and what it works with.
pub(super) struct ProxyStream {
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) shared: Arc<Shared>,
    pub(super) drain: Watcher,
    pub(super) requests: Streaming<DiscoveryRequest>,
    pub(super) responses: mpsc::Sender<Result<DiscoveryResponse, Status>>,
}

/// Why a stream ended, for the log.
type End = &'static str;

/// The proxy is not who it says it is.
struct Denied(String);

impl ProxyStream {
    /// Serves the proxy until it leaves or the drain begins.
    pub(super) async fn run(mut self, peer: Peer) {
        let Some(first) = self.receive().await else { return };
        let node = first.node.clone().unwrap_or_default();
        let proxy = match Proxy::from_node(&node) {
            Ok(proxy) => proxy,
            Err(error) => {
                warn!(peer = ?peer.address, %error, "a client that is no proxy of the mesh");
                let _ = self.responses.send(Err(Status::invalid_argument(error.to_string()))).await;
                return;
            }
        };
        let checked = peer.check(&proxy, &node, &self.snapshots.borrow());
        if let Err(error) = checked {
            return self.deny(&peer, error).await;
        }
        let connection = self.fleet.connect(proxy.clone(), version(&node));
        info!(proxy = proxy.id, peer = ?peer.address, version = version(&node), "proxy connected");
        let mut session = Session { proxy, peer, node, connection, stream: Stream::default() };
        session.request(&first);
        match self.serve(&mut session).await {
            Ok(end) => info!(proxy = session.proxy.id, reason = end, "proxy disconnected"),
            Err(Denied(error)) => self.deny(&session.peer, error).await,
        }
    }

    async fn deny(&self, peer: &Peer, error: String) {
        warn!(peer = ?peer.address, error, "a proxy that is not who it says it is");
        let _ = self.responses.send(Err(Status::permission_denied(error))).await;
    }

    async fn receive(&mut self) -> Option<DiscoveryRequest> {
        tokio::select! {
            message = self.requests.message() => message.ok().flatten(),
            _ = self.drain.begun() => None,
        }
    }

    async fn serve(&mut self, session: &mut Session) -> Result<End, Denied> {
        // The snapshot that is already there counts as a change.
        self.snapshots.mark_changed();
        loop {
            let deadline = session.stream.deadline(Instant::now());
            tokio::select! {
                message = self.requests.message() => match message {
                    Ok(Some(request)) => session.request(&request),
                    Ok(None) => return Ok("the proxy ended the stream"),
                    Err(status) => {
                        debug!(proxy = session.proxy.id, %status, "xDS stream broke");
                        return Ok("the connection broke");
                    }
                },
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return Ok("the platform adapter ended");
                    }
                    let snapshot = self.snapshots.borrow_and_update().clone();
                    session.translate(&snapshot, &self.shared)?;
                }
                () = sleep_until(deadline) => {
                    warn!(proxy = session.proxy.id, "the proxy owes an answer; not waiting for it");
                }
                _ = self.drain.begun() => return Ok("the control plane ends"),
            }
            while let Some(response) = session.stream.next_response(Instant::now()) {
                session.sending(&response);
                if self.responses.send(Ok(response)).await.is_err() {
                    return Ok("the proxy is gone");
                }
            }
            session.connection.update(&mut session.stream);
        }
    }
}

/// The proxy and what it has.
struct Session {
    proxy: Proxy,
    peer: Peer,
    node: Node,
    connection: Connection,
    stream: Stream,
}

impl Session {
    fn translate(&mut self, snapshot: &Snapshot, shared: &Shared) -> Result<(), Denied> {
        // Nothing has been read yet: an empty mesh would be taken for the truth.
        if snapshot.version() == 0 {
            return Ok(());
        }
        // A pod that was not known before may be somebody else's now.
        self.peer.check(&self.proxy, &self.node, snapshot).map_err(Denied)?;
        let resources = shared.resources(snapshot, &self.proxy);
        self.stream.set_resources(Arc::new(resources));
        self.connection.translated(snapshot.version(), self.stream.has_due());
        Ok(())
    }

    fn request(&mut self, request: &DiscoveryRequest) {
        let proxy = &self.proxy.id;
        match self.stream.request(request) {
            Outcome::Asked(resource_type) => {
                debug!(proxy, %resource_type, names = request.resource_names.len(), "asked");
            }
            Outcome::Acked(resource_type) => {
                debug!(proxy, %resource_type, version = request.version_info, "accepted");
            }
            Outcome::Rejected { resource_type, version, error } => {
                warn!(proxy, %resource_type, version, error, "rejected");
                self.connection.rejected(resource_type);
            }
            Outcome::Stale(resource_type) => debug!(proxy, %resource_type, "stale answer"),
            Outcome::UnknownType => {
                debug!(proxy, type_url = request.type_url, "asked for a type that is not served");
            }
        }
    }

    fn sending(&mut self, response: &DiscoveryResponse) {
        debug!(
            proxy = self.proxy.id,
            type_url = response.type_url,
            version = response.version_info,
            resources = response.resources.len(),
            "sending"
        );
        self.connection.sending(response);
    }
}

/// "mesh-proxy 0.1.0", "envoy 1.40.0".
fn version(node: &Node) -> String {
    use mesh_proto::envoy::config::core::v3::node::UserAgentVersionType;
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            let version = build.version.unwrap_or_default();
            format!("{}.{}.{}", version.major_number, version.minor_number, version.patch)
        }
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
