//! A connection from downstream.

use std::net::SocketAddr;
use std::time::SystemTime;

use tokio::net::TcpStream;

use crate::stats::Held;

/// An accepted connection, as a network filter gets it. TCP_NODELAY is set.
pub(crate) struct Connection {
    pub(crate) io: TcpStream,
    pub(crate) remote: SocketAddr,
    /// What the client dialled: the original destination of a redirected connection.
    pub(crate) local: SocketAddr,
    /// Where an ORIGINAL_DST cluster sends this connection: set when it was redirected,
    /// and never an address of the proxy's own, or it would talk to itself.
    pub(crate) original_destination: Option<SocketAddr>,
    pub(crate) accepted: SystemTime,
    /// Keeps the connection in `listener.<address>.downstream_cx_active`; drop it with
    /// the connection.
    pub(crate) active: Held,
}
