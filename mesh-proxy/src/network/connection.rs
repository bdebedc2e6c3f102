//! A connection from downstream.

use std::net::SocketAddr;
use std::time::SystemTime;

use crate::config::{BufferLimit, Name};
use crate::stats::{Counter, Gauge, Held};
use crate::transport::Io;
use crate::transport::tls::ConnectionInfo;
use crate::worker::Member;

/// An accepted connection, as a network filter gets it. TCP_NODELAY is set.
pub(crate) struct Connection {
    pub(crate) io: Io,
    pub(crate) remote: SocketAddr,
    /// What the client dialled: the original destination of a redirected connection.
    pub(crate) local: SocketAddr,
    /// The Unix socket that it came to; then neither end has another address.
    pub(crate) pipe: Option<Name>,
    /// Where an ORIGINAL_DST cluster sends this connection: set when it was redirected,
    /// and never an address of the proxy's own, or it would talk to itself.
    pub(crate) original_destination: Option<SocketAddr>,
    /// Of a connection whose TLS ends here.
    pub(crate) tls: Option<Box<ConnectionInfo>>,
    /// SNI, also of TLS that passes through: as `tls_inspector` or the handshake found it.
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) accepted: SystemTime,
    pub(crate) buffer_limit: BufferLimit,
    /// To be dropped with the connection.
    pub(crate) counted: Counted,
}

/// A connection in its listener's statistics, and against the limits.
pub(crate) struct Counted {
    _member: Member,
    _active: Held,
    destroyed: Counter,
    /// Of limits, and of its worker, where those are counted.
    held: Vec<Held>,
}

impl Counted {
    /// Holds `active` now, and counts in `destroyed` at its end.
    pub(crate) fn new(member: Member, active: &Gauge, destroyed: &Counter) -> Self {
        let (active, destroyed) = (active.hold(), destroyed.clone());
        Self { _member: member, _active: active, destroyed, held: Vec::new() }
    }

    /// Holds this, too.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push(held);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.destroyed.inc();
    }
}
