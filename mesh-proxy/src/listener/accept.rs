//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_runtime::drain::{self, Trigger, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

use super::{Active, Table, bind, connection};
use crate::worker::{Worker, Workers};

/// What new connections of a bound listener see.
pub(crate) struct Slot {
    /// The listener's current version.
    pub(crate) current: ArcSwap<Active>,
    /// Where it hands connections over to, with `use_original_dst`.
    pub(super) listeners: Arc<Table>,
}

/// When nothing can be accepted (no file descriptor is left), how long until the next try.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How long a listener's last connections may look for their filter chains.
const LAST_ARRIVALS: Duration = Duration::from_secs(1);

/// A listener's sockets, and the loops that accept from them.
pub(crate) struct Bound {
    /// The address that the sockets have: with the port that the kernel chose for port 0.
    pub(crate) address: SocketAddr,
    pub(crate) slot: Arc<Slot>,
    /// One per worker, in the workers' order: what a hot restart hands over.
    sockets: Vec<std::net::TcpListener>,
    stop: Trigger,
    /// Disconnected when every loop has closed its socket.
    closed: mpsc::Receiver<()>,
}

impl Bound {
    /// Binds all workers' sockets before any worker gets one; then each accepts.
    pub(crate) fn new(
        listener: Arc<Active>,
        listeners: &Arc<Table>,
        workers: &Workers,
    ) -> io::Result<Self> {
        let sockets = bind::bind(listener.config.address, workers.count())?;
        let given = sockets.iter().map(std::net::TcpListener::try_clone);
        let given: Vec<_> = given.collect::<io::Result<_>>()?;
        let address = sockets.first().map_or(Ok(listener.config.address), |s| s.local_addr())?;
        let current = ArcSwap::new(listener);
        let slot = Arc::new(Slot { current, listeners: Arc::clone(listeners) });
        let (stop, watcher) = drain::channel();
        let (open, closed) = mpsc::channel();
        for (index, socket) in given.into_iter().enumerate() {
            let (slot, watcher, open) = (Arc::clone(&slot), watcher.clone(), open.clone());
            workers.run(index, move |worker| {
                tokio::task::spawn_local(accept(Rc::clone(worker), socket, slot, watcher, open));
            });
        }
        Ok(Self { address, slot, sockets, stop, closed })
    }

    /// Stops accepting. When this returns, the sockets are closed and the address is free;
    /// when what it returns has ended, every connection that was accepted has its filter
    /// chain. Connections that waited to be accepted are not lost.
    pub(crate) fn stop(self) -> impl Future<Output = ()> + Send + use<> {
        let Self { sockets, stop, closed, .. } = self;
        drop(sockets);
        stop.begin();
        // Disconnected is the answer; a worker that is too busy to give it is not waited for.
        let _ = closed.recv_timeout(LAST_ARRIVALS);
        async move {
            stop.drain(LAST_ARRIVALS).await;
        }
    }
}

/// Accepts until told to stop, then what is waiting already. `_open` is dropped after the
/// socket.
async fn accept(
    worker: Rc<Worker>,
    socket: std::net::TcpListener,
    slot: Arc<Slot>,
    mut stop: Watcher,
    _open: mpsc::Sender<()>,
) {
    let watcher = stop.clone();
    let start = |io, remote| {
        let (worker, slot, watcher) = (Rc::clone(&worker), Arc::clone(&slot), watcher.clone());
        tokio::task::spawn_local(connection::handle(worker, io, remote, slot, watcher));
    };
    let socket = match TcpListener::from_std(socket) {
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
    if let Ok(socket) = socket.into_std() {
        accept_waiting(&socket, start);
    }
}

/// Takes the connections that wait in the socket's queue, which closing it would reset.
fn accept_waiting(socket: &std::net::TcpListener, start: impl Fn(TcpStream, SocketAddr)) {
    while let Ok((io, remote)) = socket.accept() {
        if io.set_nonblocking(true).is_ok()
            && let Ok(io) = TcpStream::from_std(io)
        {
            start(io, remote);
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
