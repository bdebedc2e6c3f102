//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_runtime::drain::{self, Trigger, Watcher};
use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::warn;

use super::balance::Balance;
use super::socket::Socket;
use super::{Active, Table, connection};
use crate::config::{Address, no_address};
use crate::stats::Gauge;
use crate::worker::{Worker, Workers};

/// What new connections of a bound listener see.
pub(crate) struct Slot {
    /// The listener's current version.
    pub(crate) current: ArcSwap<Active>,
    /// Where it hands connections over to, with `use_original_dst`.
    pub(super) listeners: Arc<Table>,
    /// Those that are open, counted only where there is a limit.
    pub(super) open: Gauge,
}

impl Slot {
    /// Of a listener whose connections `listeners` may take over.
    pub(crate) fn new(listener: Arc<Active>, listeners: &Arc<Table>) -> Self {
        let current = ArcSwap::new(listener);
        Self { current, listeners: Arc::clone(listeners), open: Gauge::default() }
    }
}

/// When nothing can be accepted (no file descriptor is left), how long until the next try.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How long a listener's last connections may look for their filter chains.
const LAST_ARRIVALS: Duration = Duration::from_secs(1);

/// The sockets of one of a listener's addresses, and the loops that accept from them.
pub(crate) struct Bound {
    /// The address as it was asked for.
    pub(crate) asked: Address,
    /// The address that the sockets have: with the port that the kernel chose for port 0.
    pub(crate) address: Address,
    slot: Arc<Slot>,
    /// One per worker when this process bound them; as many as the older process had when
    /// they are inherited.
    sockets: Vec<std::net::TcpListener>,
    accepting: Option<Accepting>,
}

/// The loops of a listener that accepts.
struct Accepting {
    stop: Trigger,
    stopped: Stopped,
    /// Disconnected when every loop has closed its socket.
    closed: mpsc::Receiver<()>,
}

/// What the loops do last: whether they take what waits in the queues, or leave it there.
type Stopped = Arc<AtomicBool>;

impl Bound {
    /// An address with its sockets, of which there is one at least; nobody accepts yet.
    pub(crate) fn new(
        asked: Address,
        slot: &Arc<Slot>,
        sockets: Vec<std::net::TcpListener>,
    ) -> io::Result<Self> {
        let address = match sockets.first() {
            Some(socket) => Address::of(socket)?,
            None => asked.clone(),
        };
        Ok(Self { asked, address, slot: Arc::clone(slot), sockets, accepting: None })
    }

    /// Begins to accept, or goes on: from each socket, and on each worker. With fewer
    /// workers than sockets one accepts from several; with more, several share one. An
    /// error, of which no file descriptor being left is the likely one, changes nothing.
    pub(crate) fn accept(&mut self, workers: &Workers) -> io::Result<()> {
        if self.accepting.is_some() {
            return Ok(());
        }
        let loops = self.sockets.len().max(workers.count());
        let given = self.sockets.iter().cycle().take(loops).map(std::net::TcpListener::try_clone);
        let given: Vec<_> = given.collect::<io::Result<_>>()?;
        let (stop, watcher) = drain::channel();
        let (open, closed) = mpsc::channel();
        let stopped = Stopped::default();
        for (index, socket) in given.into_iter().enumerate() {
            let (slot, watcher, open) = (Arc::clone(&self.slot), watcher.clone(), open.clone());
            let stopped = Arc::clone(&stopped);
            let socket = Arriving { socket, address: self.address.clone() };
            let index = index % workers.count().max(1);
            workers.run(index, move |worker| {
                let worker = Here { worker: Rc::clone(worker), index };
                tokio::task::spawn_local(accept(worker, socket, slot, watcher, stopped, open));
            });
        }
        self.accepting = Some(Accepting { stop, stopped, closed });
        Ok(())
    }

    /// Stops accepting and keeps the sockets: what waits in their queues is another
    /// process's. What it returns ends those, in `patience`, that were accepted and look for
    /// their filter chains for too long.
    pub(crate) fn pause(
        &mut self,
        patience: Duration,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Accepting { stop, .. } = self.accepting.take()?;
        stop.begin();
        Some(async move {
            stop.drain(patience).await;
        })
    }

    /// The sockets, in the workers' order when this process bound them.
    pub(crate) fn sockets(&self) -> &[std::net::TcpListener] {
        &self.sockets
    }

    /// The sockets, of a listener that never accepted.
    pub(crate) fn into_sockets(self) -> Vec<std::net::TcpListener> {
        self.sockets
    }

    /// Stops accepting. When this returns, the sockets are closed and the address is free;
    /// when what it returns has ended, every connection that was accepted has its filter
    /// chain. Connections that waited to be accepted are not lost.
    pub(crate) fn stop(self) -> impl Future<Output = ()> + Send + use<> {
        let Self { sockets, accepting, .. } = self;
        drop(sockets);
        let stop = accepting.map(|Accepting { stop, stopped, closed }| {
            stopped.store(true, Ordering::Release);
            stop.begin();
            // Disconnected is the answer; a worker that is too busy to give it is not waited
            // for.
            let _ = closed.recv_timeout(LAST_ARRIVALS);
            stop
        });
        async move {
            if let Some(stop) = stop {
                stop.drain(LAST_ARRIVALS).await;
            }
        }
    }
}

/// A socket on its way to the worker that accepts.
struct Arriving {
    socket: std::net::TcpListener,
    address: Address,
}

/// The worker that accepts.
struct Here {
    worker: Rc<Worker>,
    index: usize,
}

impl Here {
    /// Takes a connection, or gives it to the worker whose turn it is.
    fn take(&self, io: TcpStream, remote: SocketAddr, slot: &Arc<Slot>, watcher: &Watcher) {
        let Self { worker, index } = self;
        let seat = slot.current.load().balance.as_ref().and_then(Balance::seat);
        let member = worker.shared.census.enter();
        let (slot, watcher) = (Arc::clone(slot), watcher.clone());
        let other = seat.as_ref().map(|seat| seat.worker).filter(|worker| worker != index);
        let Some(other) = other else {
            let new = connection::New { io, remote, seat, member };
            let handled = connection::handle(Rc::clone(worker), new, slot, watcher);
            tokio::task::spawn_local(handled);
            return;
        };
        // A socket belongs to the runtime of its worker.
        let Ok(io) = io.into_std() else { return };
        worker.shared.workers.run(other, move |worker| {
            if let Ok(io) = TcpStream::from_std(io) {
                let new = connection::New { io, remote, seat, member };
                tokio::task::spawn_local(connection::handle(Rc::clone(worker), new, slot, watcher));
            }
        });
    }
}

/// Accepts until told to stop, then perhaps what is waiting already. `_open` is dropped
/// after the socket.
async fn accept(
    here: Here,
    Arriving { socket, address }: Arriving,
    slot: Arc<Slot>,
    mut stop: Watcher,
    takes_waiting: Stopped,
    _open: mpsc::Sender<()>,
) {
    let watcher = stop.clone();
    let start = |io, remote| here.take(io, remote, &slot, &watcher);
    let socket = match Socket::new(socket, &address) {
        Ok(socket) => socket,
        Err(error) => {
            warn!(listener = %slot.current.load().config.name, %error, "cannot accept connections");
            return;
        }
    };
    let mut stopped = pin!(stop.begun());
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = socket.accept() => match accepted {
                Ok((io, remote)) => start(io, remote),
                Err(error) => back_off(&slot, &error).await,
            },
        }
    }
    if takes_waiting.load(Ordering::Acquire)
        && let Ok(socket) = socket.into_std()
    {
        accept_waiting(&socket, start);
    }
}

/// Takes the connections that wait in the socket's queue, which closing it would reset.
fn accept_waiting(socket: &std::net::TcpListener, start: impl Fn(TcpStream, SocketAddr)) {
    // By the system call itself, as the socket may be a Unix one.
    while let Ok((io, remote)) = SockRef::from(socket).accept() {
        let io = std::net::TcpStream::from(io);
        if io.set_nonblocking(true).is_ok()
            && let Ok(io) = TcpStream::from_std(io)
        {
            start(io, remote.as_socket().unwrap_or_else(no_address));
        }
    }
}

/// A connection that ended before it was accepted is nothing; no file descriptor or no
/// memory being left is worth a line, and a while.
async fn back_off(slot: &Slot, error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) {
        return;
    }
    warn!(listener = %slot.current.load().config.name, %error, "cannot accept a connection; waiting");
    tokio::time::sleep(BACK_OFF).await;
}
