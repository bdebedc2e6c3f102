//! The application's ports, dialled past the pod's redirection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use mesh_tls::{VERSIONS, client_config, server_verifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The application of this pod.
pub(super) struct Application {
    address: IpAddr,
    tls: TlsConnector,
}

impl Application {
    pub(super) fn new(address: IpAddr) -> anyhow::Result<Self> {
        // As kubelet, which takes any certificate: it asks the pod's address, which is in none.
        let config = client_config(None, server_verifier(None, &[]), &[], VERSIONS)
            .context("no TLS for probes")?;
        Ok(Self { address, tls: Arc::new(config).into() })
    }

    /// The pod's address, as kubelet knows it.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// A connection to a port at the pod's address, where kubelet would have asked; many an
    /// application does not listen on loopback. It is made from the address from which the
    /// proxy hands requests over: `mesh-agent redirect` lets only that pass to the
    /// application, while from the agent's own user it would take the connection for one
    /// of the proxy's to the pod itself, and send it to 15006.
    pub(super) async fn dial(&self, port: u16) -> io::Result<TcpStream> {
        let (socket, source) = match self.address {
            IpAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::from(Ipv4Addr::new(127, 0, 0, 6))),
            IpAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into()),
        };
        socket.bind(SocketAddr::new(source, 0)).map_err(|error| {
            let advice = "`mesh-agent redirect` gives it to lo";
            io::Error::new(error.kind(), format!("cannot send from {source} ({advice}): {error}"))
        })?;
        socket.connect(SocketAddr::new(self.address, port)).await
    }

    /// The same with TLS, whoever answers.
    pub(super) async fn dial_tls(&self, port: u16) -> anyhow::Result<impl Stream + use<>> {
        let stream = self.dial(port).await?;
        Ok(self.tls.connect(ServerName::from(self.address), stream).await?)
    }
}
