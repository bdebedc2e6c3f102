//! gRPC to the static clusters: in plain text, by TLS, over Unix sockets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use mesh_proto::envoy::config::core::v3::Node;
use mesh_xds::client::{self, Connecting, InvalidAddress, Server, Service};
use tonic::transport::Endpoint;

use crate::cluster::Transports;
use crate::codec::Protocol;
use crate::config::{Bootstrap, Cluster, Discovery, Labels, Name};
use crate::secrets::Secrets;
use crate::transport::tls::{Client, FailureKind};

/// The static clusters that gRPC may go to.
pub(crate) struct Targets {
    servers: HashMap<Name, Vec<Server>>,
    node: Node,
}

impl Targets {
    /// Those of a file. `node` is who asks.
    pub(crate) fn new(
        config: &Bootstrap,
        node: Node,
        secrets: &Arc<Secrets>,
    ) -> Result<Self, InvalidAddress> {
        let servers = |cluster: &Arc<Cluster>| {
            Ok((Arc::clone(&cluster.name), Dialler { cluster, secrets }.servers()?))
        };
        let servers = config.grpc_targets().map(servers).collect::<Result<_, InvalidAddress>>()?;
        Ok(Self { servers, node })
    }

    /// How to ask a cluster for what a service has; `None` when there is no such cluster.
    pub(crate) fn client(&self, cluster: &str, service: Service) -> Option<client::Config> {
        let servers = self.servers.get(cluster)?.clone();
        Some(client::Config { service, ..client::Config::new(servers, self.node.clone()) })
    }
}

struct Dialler<'a> {
    cluster: &'a Cluster,
    secrets: &'a Arc<Secrets>,
}

impl Dialler<'_> {
    /// One for each address of the cluster.
    fn servers(&self) -> Result<Vec<Server>, InvalidAddress> {
        match &self.cluster.discovery {
            Discovery::Static(assignment) => {
                let server = |endpoint: &crate::config::Endpoint| {
                    self.tcp(&endpoint.address.to_string(), &endpoint.labels)
                };
                assignment.endpoints.iter().map(server).collect()
            }
            Discovery::Dns { names, .. } => {
                let server = |name: &crate::config::DnsName| {
                    let port = name.template.address.port();
                    self.tcp(&format!("{}:{port}", bracketed(&name.host)), &name.template.labels)
                };
                names.iter().map(server).collect()
            }
            Discovery::Pipe(path) => Ok(vec![self.pipe(path)?]),
            Discovery::Eds { .. } | Discovery::OriginalDst => Ok(Vec::new()),
        }
    }

    fn pipe(&self, path: &Path) -> Result<Server, InvalidAddress> {
        Ok(self.endpoint(&format!("unix:{}", path.display()))?.into())
    }

    fn tcp(&self, address: &str, labels: &Labels) -> Result<Server, InvalidAddress> {
        let endpoint = self.endpoint(&format!("http://{address}"))?;
        let transports = Transports::new(&self.cluster.transports, self.secrets, None);
        let Some(tls) = transports.of(labels) else { return Ok(endpoint.into()) };
        let (tls, secrets) = (Arc::clone(tls), Arc::clone(self.secrets));
        Ok(Server::new(move || {
            let (endpoint, tls, secrets) = (endpoint.clone(), tls.clone(), secrets.clone());
            let connecting: Connecting = Box::pin(connect(endpoint, tls, secrets));
            connecting
        }))
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, InvalidAddress> {
        Ok(client::endpoint(address)?.connect_timeout(self.cluster.connect_timeout))
    }
}

/// Waits for the secrets that the context needs, then shakes hands. Each connection takes
/// the secrets that are in force then.
async fn connect(
    endpoint: Endpoint,
    tls: Arc<Client>,
    secrets: Arc<Secrets>,
) -> Result<tonic::transport::Channel, String> {
    let mut changes = secrets.changes();
    let ready = loop {
        match tls.ready(Some(Protocol::Http2)) {
            Ok(ready) => break ready,
            // Nobody else ends the wait: the store lives as long as this does.
            Err(error) if error.kind == FailureKind::NotReady => _ = changes.changed().await,
            Err(error) => return Err(error.to_string()),
        }
    };
    let channel = endpoint.connect_with_connector(ready.into_connector()).await;
    channel.map_err(|error| client::explain(&error))
}

/// An IPv6 address stands in brackets in a URI.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
