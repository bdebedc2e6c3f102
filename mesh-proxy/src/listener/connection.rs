//! A connection from downstream, from the accept to its network filter.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mesh_runtime::drain::Watcher;
use tokio::net::TcpStream;
use tracing::debug;

use super::active::Active;
use super::balance::Seat;
use super::inspector::Findings;
use super::limit::Above;
use super::matcher::Facts;
use super::original_dst::original_destination;
use super::{Chain, Slot};
use crate::config::{Address, no_address};
use crate::formatter::{Flags, Record};
use crate::network::{Connection, Counted};
use crate::stats::Held;
use crate::transport::Io;
use crate::transport::tls::{self, Accepted, HandshakeError};
use crate::worker::{Member, Shared, Worker};

/// A connection that was accepted.
pub(super) struct New {
    pub(super) io: TcpStream,
    pub(super) remote: SocketAddr,
    /// With `exact_balance`.
    pub(super) seat: Option<Seat>,
    pub(super) member: Member,
}

/// A connection on its way to a filter chain.
struct Arrival {
    io: TcpStream,
    /// Where it comes from, by what the PROXY protocol says.
    remote: SocketAddr,
    /// Who has connected.
    peer: SocketAddr,
    accepted_on: SocketAddr,
    original: Option<SocketAddr>,
    accepted: SystemTime,
    findings: Findings,
    seat: Option<Seat>,
    member: Member,
    /// Of the listener's limit, where it has one.
    place: Option<Held>,
}

/// Sees a connection through: listener filters, filter chain, network filter.
/// `accepting` keeps its listener's drain from beginning before the filter chain is known,
/// and ends what takes too long to get that far.
pub(super) async fn handle(worker: Rc<Worker>, new: New, slot: Arc<Slot>, mut accepting: Watcher) {
    let Ok(place) = place(&worker.shared, &slot) else { return };
    let Some(mut arrival) = Arrival::new(new, place, &slot.current.load().config) else { return };
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
    let _counted = chain.filter.count();
    // Boxed, so that a connection does not carry it to its end.
    let shaking = Box::pin(admitted(connection, &listener, &chain, &mut drain));
    let Some(connection) = shaking.await else { return };
    // The connection keeps its filter chain, not the listener's version.
    drop((listener, slot));
    chain.filter.serve(connection, worker, drain).await;
}

/// A place of the listener's limit, `None` where it has none. The error: there are as many
/// connections as there may be, here or in all.
fn place(shared: &Shared, slot: &Slot) -> Result<Option<Held>, ()> {
    let Some(limits) = shared.limits.get() else { return Ok(None) };
    let listener = slot.current.load();
    let is_limited = !listener.config.ignores_global_limit;
    if limits.all.is_some_and(|most| is_limited && shared.census.count() > most) {
        listener.stats.global_cx_overflow.inc();
        return Err(());
    }
    let Some(most) = limits.of_listener.get(&listener.config.name) else { return Ok(None) };
    let place = slot.open.hold_below(*most);
    place.map(Some).ok_or_else(|| listener.stats.cx_overflow.inc())
}

impl Arrival {
    /// `None` when the client is gone already.
    fn new(new: New, place: Option<Held>, config: &crate::config::Listener) -> Option<Self> {
        let New { io, remote, seat, member } = new;
        let accepted_on = match config.address {
            Address::Ip(_) => {
                io.set_nodelay(true).ok()?;
                io.local_addr().ok()?
            }
            Address::Pipe(_) => no_address(),
        };
        let original = (config.original_dst || config.use_original_dst)
            .then(|| match config.transparent {
                // TPROXY has left it as it was; on the listener's own port nobody has sent it.
                true => Some(accepted_on).filter(|own| {
                    let mut listening = config.addresses().filter_map(Address::ip);
                    listening.all(|address| address.port() != own.port())
                }),
                false => original_destination(&io, accepted_on),
            })
            .flatten();
        Some(Self {
            io,
            remote,
            peer: remote,
            accepted_on,
            original,
            accepted: SystemTime::now(),
            findings: Findings::default(),
            seat,
            member,
            place,
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

    /// Runs the listener filters that are asked for; `false` when the connection is to be
    /// closed.
    async fn inspect(&mut self, slot: &Slot) -> bool {
        let listener = self.listener(slot);
        if listener.proxy_protocol.is_none() && listener.inspectors().is_none() {
            return true;
        }
        let _inspecting = listener.stats.pre_cx_active.hold();
        let inspect = self.run_filters(&listener);
        let found = match listener.config.listener_filters_timeout {
            Some(timeout) => tokio::time::timeout(timeout, inspect).await,
            None => Ok(inspect.await),
        };
        match found {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                match error.kind() {
                    io::ErrorKind::UnexpectedEof => listener.stats.filter_remote_close.inc(),
                    _ => listener.stats.filter_error.inc(),
                }
                debug!(remote = %self.remote, %error, "ended before it could be told apart");
                false
            }
            Err(_) => {
                listener.stats.pre_cx_timeout.inc();
                listener.config.continue_on_listener_filters_timeout
            }
        }
    }

    async fn run_filters(&mut self, listener: &Active) -> io::Result<()> {
        if let Some(filter) = &listener.proxy_protocol
            && let Some(header) = filter.take(&self.io).await?
        {
            self.remote = header.source;
            self.original = Some(header.destination).filter(|to| *to != self.accepted_on);
        }
        listener.inspectors().inspect(&self.io, &mut self.findings).await
    }

    /// The filter chain that takes the connection, with its listener and its drain. A
    /// connection that none takes is counted and logged.
    fn filter_chain(&self, slot: &Slot) -> Option<(Arc<Active>, Arc<Chain>, Watcher)> {
        let Self { remote, peer, ref findings, .. } = *self;
        let facts = Facts { local: self.local(), remote, peer, findings };
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
        let pipe = listener.config.address.pipe();
        record.downstream_pipe = pipe.as_deref();
        record.flags = Flags::NO_ROUTE;
        record.response_code_details = Some("filter_chain_not_found");
        listener.logs.iter().for_each(|log| log.write(&record));
    }

    fn local(&self) -> SocketAddr {
        self.original.unwrap_or(self.accepted_on)
    }

    fn connection(self, listener: &Active) -> Connection {
        listener.stats.cx_total.inc();
        let (active, destroyed) = (&listener.stats.cx_active, &listener.stats.cx_destroy);
        let mut counted = Counted::new(self.member, active, destroyed);
        let held = self.place.into_iter().chain(self.seat.map(|seat| seat.held));
        held.for_each(|held| counted.hold(held));
        Connection {
            local: self.original.unwrap_or(self.accepted_on),
            io: Io::Plain(self.io),
            remote: self.remote,
            original_destination: self.original,
            tls: None,
            server_name: self.findings.server_name,
            accepted: self.accepted,
            pipe: listener.config.address.pipe(),
            buffer_limit: listener.config.buffer_limit,
            counted,
        }
    }
}

/// Sees a connection past the limits of its chain, then through its handshake. `None` when it
/// is to be closed.
async fn admitted(
    mut connection: Connection,
    listener: &Active,
    chain: &Chain,
    drain: &mut Watcher,
) -> Option<Connection> {
    for limit in &chain.limits {
        let Err(Above { delay }) = limit.admit(&mut connection.counted) else { continue };
        debug!(remote = %connection.remote, listener = %listener.config.name,
            "there are too many connections");
        if let Some(delay) = delay {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = drain.immediate() => {}
            }
        }
        return None;
    }
    secured(connection, listener, chain, drain).await
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
            let Connection { accepted, remote, local, pipe, server_name, .. } = connection;
            debug!(%remote, listener = %listener.config.name, %error, "a TLS handshake failed");
            let record = Record {
                duration: began.elapsed(),
                downstream_pipe: pipe.as_deref(),
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
