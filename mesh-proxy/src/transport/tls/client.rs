//! Handshakes with upstreams.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use mesh_tls::{Connector, client_config, pinned_server_verifier};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::material::{Cached, Material, Sources};
use super::{HandshakeError, SslStats};
use crate::codec::Protocol;
use crate::config::UpstreamTls;
use crate::secrets::Secrets;
use crate::transport::Io;

/// The TLS of a cluster's transport socket at work.
pub(crate) struct Client {
    pub(crate) config: Arc<UpstreamTls>,
    sources: Sources,
    context: Cached<Contexts>,
    server_name: ServerName<'static>,
}

/// The configuration, by what is offered where the context names no ALPN.
struct Contexts {
    own: Arc<ClientConfig>,
    http1: OnceLock<Arc<ClientConfig>>,
    http2: OnceLock<Arc<ClientConfig>>,
}

/// All that a handshake needs.
pub(crate) struct Ready {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    is_update: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.server_name).finish()
    }
}

impl Client {
    pub(crate) fn new(config: &Arc<UpstreamTls>, secrets: &Secrets) -> Self {
        let name = config.sni.as_deref().and_then(|sni| ServerName::try_from(sni).ok());
        Self {
            sources: Sources::new(&config.common, secrets),
            context: Cached::new(),
            server_name: name.map_or_else(nobody, |name| name.to_owned()),
            config: Arc::clone(config),
        }
    }

    /// What the next handshake needs. `protocol` is offered by ALPN when the context does not
    /// say what to offer, as in Envoy.
    pub(crate) fn ready(&self, protocol: Option<Protocol>) -> Result<Ready, HandshakeError> {
        let made = self.context.get(&self.sources, |material| self.make(material))?;
        let config = made.context.offering(protocol);
        let server_name = self.server_name.clone();
        Ok(Ready { config, server_name, is_update: made.is_update() })
    }

    fn make(&self, material: &Material) -> Result<Contexts, rustls::Error> {
        let validation = material.validation();
        let roots = validation.roots.as_ref().map(|roots| &roots.bundle);
        let common = &self.config.common;
        let mut config = client_config(
            material.certificates.first().map(|certificate| &certificate.credentials),
            pinned_server_verifier(roots, &validation.names, &validation.pins),
            &common.alpn,
            common.parameters.clone(),
        )?;
        config.enable_sni = self.config.sni.is_some();
        // All connections are to the one name: nothing else is to be remembered.
        config.resumption = match self.config.resume {
            true => Resumption::in_memory_sessions(1),
            false => Resumption::disabled(),
        };
        let own = Arc::new(config);
        Ok(Contexts { own, http1: OnceLock::new(), http2: OnceLock::new() })
    }
}

/// Stands for the server where no name is sent: the verification does not ask for it.
fn nobody() -> ServerName<'static> {
    ServerName::from(Ipv4Addr::UNSPECIFIED)
}

impl Contexts {
    fn offering(&self, protocol: Option<Protocol>) -> Arc<ClientConfig> {
        let with = |alpn: &[u8]| {
            let mut config = ClientConfig::clone(&self.own);
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        Arc::clone(match protocol {
            Some(Protocol::Http1) if self.own.alpn_protocols.is_empty() => {
                self.http1.get_or_init(|| with(b"http/1.1"))
            }
            Some(Protocol::Http2) if self.own.alpn_protocols.is_empty() => {
                self.http2.get_or_init(|| with(b"h2"))
            }
            _ => &self.own,
        })
    }
}

impl Ready {
    /// The same for gRPC; each connection takes this configuration.
    pub(crate) fn into_connector(self) -> Connector {
        Connector::new(watch::Sender::new(self.config).subscribe(), self.server_name)
    }

    /// Shakes hands with an upstream. Dropping the future closes the connection.
    pub(crate) async fn connect(
        self,
        io: TcpStream,
        stats: &SslStats,
    ) -> Result<Io, HandshakeError> {
        if self.is_update {
            stats.updated();
        }
        let stream = TlsConnector::from(self.config)
            .connect(self.server_name, io)
            .await
            .map_err(|error| stats.failed(HandshakeError::new(&error)))?;
        stats.count_success(stream.get_ref().1);
        Ok(Io::tls(stream))
    }
}
