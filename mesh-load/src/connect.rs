//! Connections to what is under load, in plain or by mutual TLS.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use mesh_tls::{CertificateDetails, Credentials, SanMatcher, TrustBundle};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::book::Book;
use crate::failure::Failure;
use crate::scenario::TlsFiles;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections to one address.
#[derive(Clone)]
pub(crate) struct Connector {
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection, and when it was made.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) since: Instant,
}

impl Connector {
    /// To HOST:PORT.
    pub(crate) fn new(address: &str, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { address: address.to_owned(), tls }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Makes a connection, with the handshake when there is TLS, and enters it.
    pub(crate) async fn connect(&self, book: &Book) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(&self.address).await.map_err(Failure::Connect)?;
        let since = Instant::now();
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let peer = stream.peer_addr().map_err(Failure::Connect)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                // No SNI is sent for an address; who the server is, its SPIFFE ID says.
                let name = ServerName::IpAddress(peer.ip().into());
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name, stream).await.map_err(Failure::Handshake)?;
                if let Some(serial) = serial(&stream) {
                    book.certificate(serial);
                }
                Box::new(stream)
            }
        };
        book.connected();
        Ok(Connection { stream, since })
    }
}

/// The serial number of the server's certificate.
pub(crate) fn serial(stream: &TlsStream<TcpStream>) -> Option<String> {
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    CertificateDetails::parse(leaf).ok().map(|details| details.serial)
}

/// A client's TLS with these files. Each connection shows the certificates: no session is
/// resumed.
pub(crate) fn tls(files: &TlsFiles, alpn: &[&str]) -> Result<Arc<ClientConfig>> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).with_context(|| path.display().to_string())
    };
    let own = Credentials::from_pem(&read(&files.certificate)?, &read(&files.key)?)?;
    let roots = TrustBundle::read(&files.roots)?;
    let verifier = mesh_tls::server_verifier(Some(&roots), &[SanMatcher::uri(&files.server)]);
    let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut config = mesh_tls::client_config(Some(&own), verifier, &alpn, mesh_tls::VERSIONS)?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
