//! A connection from downstream, from the accept to its network filter.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mesh_runtime::drain::Watcher;
use tokio::net::TcpStream;
use tracing::debug;

use super::active::Active;
use super::inspector::Findings;
use super::matcher::Facts;
use super::original_dst::original_destination;
use super::{Chain, Slot};
use crate::access_log::{Flags, Record};
use crate::network::{Connection, Counted};
use crate::transport::Io;
use crate::transport::tls::{self, Accepted, HandshakeError};
use crate::worker::{Member, Worker};

/// A connection on its way to a filter chain.
struct Arrival {
    io: TcpStream,
    remote: SocketAddr,
    accepted_on: SocketAddr,
    original: Option<SocketAddr>,
    accepted: SystemTime,
    findings: Findings,
    member: Member,
}

/// Sees a connection through: listener filters, filter chain, network filter.
/// `accepting` keeps its listener's drain from beginning before the filter chain is known,
/// and ends what takes too long to get that far.
pub(super) async fn handle(
    worker: Rc<Worker>,
    io: TcpStream,
    remote: SocketAddr,
    slot: Arc<Slot>,
    mut accepting: Watcher,
    member: Member,
) {
    let arrival = Arrival::new(io, remote, &slot.current.load().config, member);
    let Some(mut arrival) = arrival else { return };
    let goes_on = tokio::select! {
        goes_on = arrival.inspect(&slot) => goes_on,
        () = accepting.immediate() => false,
    };
    if !goes_on {
        return;
    }
    let Some((listener, chain, mut drain)) = arrival.filter_chain(&slot) else { return };
    drop(accepting);
    let connection = arrival.connection(&listener);
    // Boxed, so that a connection does not carry it to its end.
    let shaking = Box::pin(secured(connection, &listener, &chain, &mut drain));
    let Some(connection) = shaking.await else { return };
    // The connection keeps its filter chain, not the listener's version.
    drop((listener, slot));
    chain.filter.serve(connection, worker, drain).await;
}

impl Arrival {
    /// `None` when the client is gone already.
    fn new(
        io: TcpStream,
        remote: SocketAddr,
        config: &crate::config::Listener,
        member: Member,
    ) -> Option<Self> {
        let accepted_on = io.local_addr().ok()?;
        io.set_nodelay(true).ok()?;
        let original = (config.original_dst || config.use_original_dst)
            .then(|| match config.transparent {
                // TPROXY has left it as it was; on the listener's own port nobody has sent it.
                true => Some(accepted_on).filter(|own| own.port() != config.address.port()),
                false => original_destination(&io, accepted_on),
            })
            .flatten();
        Some(Self {
            io,
            remote,
            accepted_on,
            original,
            accepted: SystemTime::now(),
            findings: Findings::default(),
            member,
        })
    }

    /// The current version of the listener that takes the connection.
    fn listener(&self, slot: &Slot) -> Arc<Active> {
        let own = slot.current.load_full();
        let handed_over = match self.original {
            Some(original) if own.config.use_original_dst => slot.listeners.find(original),
            _ => None,
        };
        handed_over.unwrap_or(own)
    }

    /// Runs the inspectors that are asked for; `false` when the connection is to be closed.
    async fn inspect(&mut self, slot: &Slot) -> bool {
        let listener = self.listener(slot);
        let inspectors = listener.inspectors();
        if inspectors.is_none() {
            return true;
        }
        let _inspecting = listener.stats.pre_cx_active.hold();
        let inspect = inspectors.inspect(&self.io, &mut self.findings);
        let found = match listener.config.listener_filters_timeout {
            Some(timeout) => tokio::time::timeout(timeout, inspect).await,
            None => Ok(inspect.await),
        };
        match found {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                debug!(remote = %self.remote, %error, "ended before it could be told apart");
                false
            }
            Err(_) => {
                listener.stats.pre_cx_timeout.inc();
                listener.config.continue_on_listener_filters_timeout
            }
        }
    }

    /// The filter chain that takes the connection, with its listener and its drain. A
    /// connection that none takes is counted and logged.
    fn filter_chain(&self, slot: &Slot) -> Option<(Arc<Active>, Arc<Chain>, Watcher)> {
        let facts = Facts { local: self.local(), remote: self.remote, findings: &self.findings };
        // An update may retire the chain between the look and the grip: look again.
        for _ in 0..3 {
            let listener = self.listener(slot);
            let Some(chain) = listener.find(&facts).cloned() else {
                self.refuse(&listener);
                return None;
            };
            if let Some(drain) = chain.watch() {
                return Some((listener, chain, drain));
            }
        }
        debug!(remote = %self.remote, "came when its listener was on its way out");
        None
    }

    fn refuse(&self, listener: &Active) {
        debug!(remote = %self.remote, local = %self.local(), listener = %listener.config.name,
            "no filter chain takes the connection");
        listener.stats.cx_total.inc();
        listener.stats.cx_destroy.inc();
        listener.stats.no_filter_chain_match.inc();
        let mut record = Record::new(self.accepted, self.remote, self.local());
        record.flags = Flags::NO_ROUTE;
        record.response_code_details = Some("filter_chain_not_found");
        listener.logs.iter().for_each(|log| log.write(&record));
    }

    fn local(&self) -> SocketAddr {
        self.original.unwrap_or(self.accepted_on)
    }

    fn connection(self, listener: &Active) -> Connection {
        listener.stats.cx_total.inc();
        Connection {
            local: self.local(),
            io: Io::Plain(self.io),
            remote: self.remote,
            original_destination: self.original,
            tls: None,
            server_name: self.findings.server_name,
            accepted: self.accepted,
            counted: Counted::new(
                self.member,
                &listener.stats.cx_active,
                &listener.stats.cx_destroy,
            ),
        }
    }
}

/// Shakes hands with the client where the chain says so. `None` when that failed, which is
/// counted and logged, or when the end of the drain came before.
async fn secured(
    connection: Connection,
    listener: &Active,
    chain: &Chain,
    drain: &mut Watcher,
) -> Option<Connection> {
    let Some(tls) = &chain.tls else { return Some(connection) };
    let Connection { io: Io::Plain(io), .. } = connection else { return Some(connection) };
    let began = Instant::now();
    let shaken = tokio::select! {
        shaken = shake(tls, io, listener, chain) => shaken,
        () = drain.immediate() => return None,
    };
    match shaken {
        Ok(Accepted { io, info, server_name }) => {
            Some(Connection { io, tls: Some(Box::new(info)), server_name, ..connection })
        }
        Err(error) => {
            let Connection { accepted, remote, local, server_name, .. } = connection;
            debug!(%remote, listener = %listener.config.name, %error, "a TLS handshake failed");
            let record = Record {
                duration: began.elapsed(),
                downstream_failure: Some(&error.reason),
                server_name: server_name.as_deref(),
                ..Record::new(accepted, remote, local)
            };
            let logs = listener.logs.iter().chain(chain.filter.connection_logs());
            logs.for_each(|log| log.write(&record));
            None
        }
    }
}

/// Within the time that the chain gives a handshake.
async fn shake(
    tls: &tls::Server,
    io: TcpStream,
    listener: &Active,
    chain: &Chain,
) -> Result<Accepted, HandshakeError> {
    let Some(timeout) = chain.config.handshake_timeout else { return tls.accept(io).await };
    tokio::time::timeout(timeout, tls.accept(io)).await.unwrap_or_else(|_| {
        listener.stats.handshake_timeout.inc();
        Err(HandshakeError::timeout())
    })
}
