use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::{CertificateError, SpiffeId, explain, peer_spiffe_id};

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at a time; further connections wait to be accepted.
const MAX_HANDSHAKES: usize = 256;
/// After an error of accepting, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How handshakes ended. The counters only grow.
#[derive(Debug, Default)]
pub struct AcceptCounters {
    /// Connections whose handshake succeeded.
    pub accepted: AtomicU64,
    /// Connections whose handshake failed or took longer than ten seconds.
    pub failed: AtomicU64,
}

/// One TLS connection, for tonic's `serve_with_incoming`. Its requests have a [`PeerInfo`]
/// among their extensions.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
}

/// Who is at the other end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// From where; one of IPv4 in its own form, whatever the socket that took it.
    pub address: SocketAddr,
    /// The certificates that it showed, leaf first, verified; empty when it showed none.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

impl PeerInfo {
    /// Whose certificate it showed; none without one.
    pub fn spiffe_id(&self) -> Option<Result<SpiffeId, CertificateError>> {
        self.certificates.first().map(peer_spiffe_id)
    }
}

/// Accepts connections on `listener` until the stream is dropped. Handshakes run beside each
/// other, each for at most ten seconds, with the configuration that is current then; those
/// that fail are counted, logged, and disturb nobody. To be called inside a runtime.
pub fn incoming(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    counters: Arc<AcceptCounters>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(accept(listener, config, counters, sender));
    ReceiverStream::new(receiver)
}

type Sender = mpsc::Sender<io::Result<Connection>>;

async fn accept(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    counters: Arc<AcceptCounters>,
    sender: Sender,
) {
    let slots = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let config = Arc::clone(&config.borrow());
        let (counters, sender) = (Arc::clone(&counters), sender.clone());
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(HANDSHAKE, handshake(stream, address, config)).await;
            drop(slot);
            match outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(connection) => {
                    counters.accepted.fetch_add(1, Ordering::Relaxed);
                    // The server may be gone; then so is the connection.
                    let _ = sender.send(Ok(connection)).await;
                }
                Err(error) => {
                    counters.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(%address, "a TLS handshake failed: {}", explain(&error));
                }
            }
        });
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<ServerConfig>,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|one| one.clone().into_owned()).collect();
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    Ok(Connection { stream, peer: PeerInfo { address, certificates } })
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
