//! Handshakes with clients.

use std::sync::Arc;

use mesh_tls::{Pins, ServerContext, pinned_client_verifier, server_config_by_name};
use rustls::server::{Acceptor, ProducesTickets};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use super::material::{Cached, Material, Sources};
use super::{ConnectionInfo, HandshakeError, SslStats};
use crate::config::DownstreamTls;
use crate::secrets::Secrets;
use crate::stats::Registry;
use crate::transport::Io;

/// The TLS of a filter chain at work.
pub(crate) struct Server {
    config: Arc<DownstreamTls>,
    sources: Sources,
    context: Cached<ServerContext>,
    stats: SslStats,
}

/// A client's connection after the handshake.
pub(crate) struct Accepted {
    pub(crate) io: Io,
    pub(crate) info: ConnectionInfo,
    /// SNI.
    pub(crate) server_name: Option<Box<str>>,
}

impl Server {
    /// `prefix` is that of the listener's statistics.
    pub(crate) fn new(
        config: &Arc<DownstreamTls>,
        secrets: &Secrets,
        registry: &Registry,
        prefix: &str,
    ) -> Self {
        Self {
            sources: Sources::new(&config.common, secrets),
            config: Arc::clone(config),
            context: Cached::new(),
            stats: SslStats::of_listener(registry, prefix),
        }
    }

    /// Shakes hands with a client, which may keep this waiting for ever: the caller sets the
    /// deadline. Dropping the future closes the connection.
    pub(crate) async fn accept(&self, io: TcpStream) -> Result<Accepted, HandshakeError> {
        let made = self.context.get(&self.sources, |material| self.make(material));
        let made = made.map_err(|error| self.stats.failed(error))?;
        if made.is_update() {
            self.stats.updated();
        }
        let shaking = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
            let config = made.context.for_client(&start.client_hello());
            start.into_stream(config).await
        };
        let stream =
            shaking.await.map_err(|error| self.stats.failed(HandshakeError::new(&error)))?;
        let session = stream.get_ref().1;
        self.stats.count_success(session);
        // Of several the first stands for all: which one was taken, nobody says.
        let own = made.material.certificates.first().map(|own| own.credentials.clone());
        let info = ConnectionInfo::new(session, own);
        let server_name = session.server_name().map(Box::from);
        Ok(Accepted { io: Io::tls(stream), info, server_name })
    }

    fn make(&self, material: &Material) -> Result<ServerContext, rustls::Error> {
        let own: Vec<_> = material.certificates.iter().map(|own| own.credentials.clone()).collect();
        if own.is_empty() {
            return Err(rustls::Error::General("there is no certificate".to_owned()));
        }
        let validation = material.validation();
        // As in Envoy, nobody gets past a pin by showing no certificate.
        let is_pinned = validation.pins != Pins::default();
        let is_required = self.config.require_client_certificate || is_pinned;
        let verifier = (is_required || validation.roots.is_some()).then(|| {
            let roots = validation.roots.as_ref().map(|roots| &roots.bundle);
            pinned_client_verifier(roots, &validation.names, &validation.pins, is_required)
        });
        let common = &self.config.common;
        let mut config = server_config_by_name(
            &own,
            self.config.require_sni,
            verifier,
            &common.alpn,
            common.parameters.clone(),
        )?;
        config.ignore_client_order = !self.config.prefer_client_ciphers;
        if !self.config.tickets {
            config.ticketer = Arc::new(NoTickets);
            config.send_tls13_tickets = 0;
        }
        Ok(ServerContext::new(config))
    }
}

/// Where no session is to be resumed.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
