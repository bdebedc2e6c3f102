//! Connections: their bytes on either side, in plain text or inside TLS.

pub(crate) mod copy;
mod io;
pub(crate) mod tls;

pub(crate) use io::Io;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream};

use tls::HandshakeError;

/// No connection could be made.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The cluster's `connect_timeout` has passed.
    #[error("connection timeout")]
    Timeout,
    #[error("{0}")]
    Io(Arc<std::io::Error>),
    #[error(transparent)]
    Tls(#[from] HandshakeError),
}

impl ConnectError {
    /// Envoy's transport failure reason.
    pub(crate) fn transport_failure(&self) -> Option<Arc<str>> {
        match self {
            Self::Tls(failure) => Some(Arc::clone(&failure.reason)),
            Self::Timeout => None,
            Self::Io(error) => {
                let text = error.to_string();
                let words = text.split(" (os error").next().unwrap_or(&text);
                Some(format!("delayed connect error: {words}").into())
            }
        }
    }
}

/// A connection in plain text, with TCP_NODELAY, from that of `sources` which is of the same
/// family. It takes as long as it takes.
pub(crate) async fn dial(
    address: SocketAddr,
    sources: &[IpAddr],
) -> Result<TcpStream, ConnectError> {
    let io = connect(address, sources).await;
    io.map_err(|error| ConnectError::Io(Arc::new(error)))
}

async fn connect(address: SocketAddr, sources: &[IpAddr]) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A source of the other family cannot reach the endpoint; Envoy ignores it too.
    let mut sources = sources.iter().filter(|source| source.is_ipv4() == address.is_ipv4());
    if let Some(source) = sources.next() {
        socket.bind(SocketAddr::new(*source, 0))?;
    }
    let io = socket.connect(address).await?;
    io.set_nodelay(true)?;
    Ok(io)
}
