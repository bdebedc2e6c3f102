use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::explain;

const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first dial may take; each one after it twice as long.
const FIRST_DIAL: Duration = Duration::from_secs(1);

/// Makes TLS connections for a tonic channel (`Endpoint::connect_with_connector_lazy`):
/// dials the endpoint's host and port, but asks the server for `server_name`. Each
/// connection takes the configuration that is current then. The endpoint's scheme is
/// `http`: that there is TLS is between the connector and the server.
#[derive(Clone, Debug)]
pub struct Connector {
    config: watch::Receiver<Arc<ClientConfig>>,
    server_name: ServerName<'static>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint has no host or port.
    #[error("{0:?} has no host and port")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}")]
    Dial {
        /// HOST:PORT.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// TLS: the certificate is not trusted, or ours is not.
    #[error("no TLS with {address} as {server_name}: {}", explain(source))]
    Handshake {
        /// HOST:PORT.
        address: String,
        /// Who was expected.
        server_name: String,
        /// Why.
        source: io::Error,
    },
    /// Ten seconds have passed.
    #[error("no connection with {0} within {TIMEOUT:?}")]
    Timeout(String),
}

impl Connector {
    /// A connector; the configuration's ALPN should be `h2`.
    pub fn new(
        config: watch::Receiver<Arc<ClientConfig>>,
        server_name: ServerName<'static>,
    ) -> Self {
        Self { config, server_name }
    }

    /// One connection to HOST:PORT, within ten seconds.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let address = format!("{host}:{port}");
        match timeout(TIMEOUT, self.connect_unbounded(host, port, &address)).await {
            Ok(done) => done,
            Err(_) => Err(ConnectError::Timeout(address)),
        }
    }

    async fn connect_unbounded(
        &self,
        host: &str,
        port: u16,
        address: &str,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let dial = |source| ConnectError::Dial { address: address.to_owned(), source };
        let stream = again(|| TcpStream::connect((host, port))).await.map_err(dial)?;
        stream.set_nodelay(true).map_err(dial)?;
        let config = Arc::clone(&self.config.borrow());
        TlsConnector::from(config).connect(self.server_name.clone(), stream).await.map_err(
            |source| ConnectError::Handshake {
                address: address.to_owned(),
                server_name: self.server_name.to_str().into_owned(),
                source,
            },
        )
    }
}

/// Tries until an attempt has come to its end, for ever. A SYN that is sent before a Service of
/// Kubernetes leads somewhere is lost with all of its repetitions, as the kernel keeps the way of
/// a flow; another one goes to where the Service leads by then.
async fn again<T, F>(mut attempt: impl FnMut() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut patience = FIRST_DIAL;
    loop {
        if let Ok(done) = timeout(patience, attempt()).await {
            return done;
        }
        patience *= 2;
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
                return Err(ConnectError::Address(uri.to_string()));
            };
            // An IPv6 address is in brackets in a URI, and nowhere else.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok(TokioIo::new(connector.connect(host, port).await?))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_not_answered_tries_again_and_who_is_refused_does_not() {
        let mut attempts = 0;
        let third = again(|| {
            attempts += 1;
            let attempt = attempts;
            async move { if attempt < 3 { pending().await } else { Ok(attempt) } }
        });
        assert_eq!(timeout(TIMEOUT, third).await.unwrap().unwrap(), 3);
        let refused = again::<(), _>(|| ready(Err(io::ErrorKind::ConnectionRefused.into())));
        assert_eq!(refused.await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
