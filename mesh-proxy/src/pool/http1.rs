//! HTTP/1.1 connections: one request at a time, the last used first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use http::Response;
use http::request::Parts;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};

use super::{AcquireError, Maps, keeper};
use crate::cluster::{Cluster, Permit};
use crate::codec::Body;
use crate::codec::client::{Http1, SendError};
use crate::endpoint::Endpoint;
use crate::transport::{self, Connected, OpenConnection};

/// The connections of this worker to one endpoint.
pub(super) struct Pool {
    maps: Weak<Maps>,
    endpoint: Arc<Endpoint>,
    /// The newest last.
    idle: RefCell<Vec<Idle>>,
    /// Connections, and those that are being made.
    open: Cell<usize>,
    next_id: Cell<u64>,
    waiting: RefCell<VecDeque<oneshot::Sender<Turn>>>,
    keeper: RefCell<Option<AbortHandle>>,
}

/// What a request that waited for its turn gets.
enum Turn {
    Connection(Box<Connection>),
    /// A connection was closed: there may be room for another.
    Room,
}

struct Idle {
    since: Instant,
    connection: Connection,
}

struct Connection {
    id: u64,
    codec: Http1,
    local: Option<SocketAddr>,
    /// How many requests it has taken.
    requests: u32,
    cluster: Arc<Cluster>,
}

/// Counts a connection of the pool until it is dropped, and the pool with its last one.
struct Slot(Rc<Pool>);

/// A connection lent for one request.
pub(crate) struct Http1Lease {
    pool: Rc<Pool>,
    connection: Connection,
}

impl Pool {
    pub(super) fn new(
        maps: &Rc<Maps>,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<Endpoint>,
    ) -> Rc<Self> {
        let pool = Rc::new(Self {
            maps: Rc::downgrade(maps),
            endpoint: Arc::clone(endpoint),
            idle: RefCell::default(),
            open: Cell::new(0),
            next_id: Cell::new(0),
            waiting: RefCell::default(),
            keeper: RefCell::default(),
        });
        let weak = Rc::downgrade(&pool);
        let sweep = move |now| weak.upgrade().map(|pool| pool.sweep(now));
        let weak = Rc::downgrade(&pool);
        let close = move || {
            if let Some(pool) = weak.upgrade() {
                pool.idle.take();
            }
        };
        let timeout = cluster.config.idle_timeout;
        let task = keeper::keep(Arc::clone(endpoint), timeout, sweep, close);
        *pool.keeper.borrow_mut() = Some(spawn_local(task).abort_handle());
        maps.http1.borrow_mut().insert(endpoint.id, Rc::clone(&pool));
        pool
    }

    pub(super) async fn acquire(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        fresh: bool,
    ) -> Result<Http1Lease, AcquireError> {
        if !fresh && let Some(connection) = self.take_idle() {
            return Ok(self.lend(connection));
        }
        // Boxed: connecting is rare, and its future large.
        Box::pin(self.connect_or_wait(cluster)).await
    }

    async fn connect_or_wait(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
    ) -> Result<Http1Lease, AcquireError> {
        let stats = cluster.stats();
        let Ok(_pending) = cluster.permit_pending() else {
            stats.rq_pending_overflow.inc();
            self.end_if_unused();
            return Err(AcquireError::Overflow);
        };
        stats.rq_pending_total.inc();
        let _pending_active = stats.rq_pending_active.hold();
        loop {
            // A worker without a connection could wait for ever: it always may have one.
            if let Ok(permit) = cluster.permit_connection(self.open.get() == 0) {
                return self.connect(cluster, permit).await;
            }
            stats.cx_overflow.inc();
            let (sender, turn) = oneshot::channel();
            self.waiting.borrow_mut().push_back(sender);
            match turn.await {
                Ok(Turn::Connection(connection)) => return Ok(self.lend(*connection)),
                Ok(Turn::Room) | Err(_) => {}
            }
        }
    }

    async fn connect(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        permit: Permit,
    ) -> Result<Http1Lease, AcquireError> {
        let slot = Slot::new(self);
        let Connected { io, local, open } =
            transport::connect(cluster, &self.endpoint, permit).await?;
        cluster.stats().cx_http1_total.inc();
        let (codec, driver) = Http1::new(io)
            .await
            .map_err(|error| AcquireError::Handshake(error.to_string().into()))?;
        let id = self.next_id.replace(self.next_id.get() + 1);
        spawn_local(drive(id, driver, open, slot));
        let cluster = Arc::clone(cluster);
        Ok(self.lend(Connection { id, codec, local, requests: 0, cluster }))
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if connection.codec.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn lend(self: &Rc<Self>, mut connection: Connection) -> Http1Lease {
        connection.requests += 1;
        Http1Lease { pool: Rc::clone(self), connection }
    }

    /// Takes a connection back whose response is complete.
    fn give_back(&self, connection: Connection) {
        if self.endpoint.is_removed() || connection.is_used_up() {
            return;
        }
        let mut turn = Turn::Connection(Box::new(connection));
        while let Some(next) = self.waiting.borrow_mut().pop_front() {
            match next.send(turn) {
                Ok(()) => return,
                // That request is gone.
                Err(returned) => turn = returned,
            }
        }
        if let Turn::Connection(connection) = turn {
            let idle = Idle { since: Instant::now(), connection: *connection };
            self.idle.borrow_mut().push(idle);
        }
    }

    /// Closes what was idle for too long, and gives the time when the next one will have
    /// been.
    fn sweep(&self, now: keeper::Sweep) -> Option<Instant> {
        let mut idle = self.idle.borrow_mut();
        let expired = idle.partition_point(|idle| idle.since + now.timeout <= now.now);
        for Idle { connection, .. } in idle.drain(..expired) {
            connection.cluster.stats().cx_idle_timeout.inc();
        }
        idle.first().map(|idle| idle.since + now.timeout)
    }

    fn end_if_unused(self: &Rc<Self>) {
        if self.open.get() > 0 || !self.waiting.borrow().is_empty() {
            return;
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        if let Some(maps) = self.maps.upgrade() {
            let mut pools = maps.http1.borrow_mut();
            if pools.get(&self.endpoint.id).is_some_and(|known| Rc::ptr_eq(known, self)) {
                pools.remove(&self.endpoint.id);
            }
        }
    }
}

/// Polls a connection until it is closed, and then forgets it.
async fn drive(id: u64, driver: impl Future<Output = ()>, open: OpenConnection, slot: Slot) {
    driver.await;
    drop(open);
    slot.0.idle.borrow_mut().retain(|idle| idle.connection.id != id);
}

impl Slot {
    fn new(pool: &Rc<Pool>) -> Self {
        pool.open.set(pool.open.get() + 1);
        Self(Rc::clone(pool))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let pool = &self.0;
        pool.open.set(pool.open.get() - 1);
        while let Some(next) = pool.waiting.borrow_mut().pop_front() {
            if next.send(Turn::Room).is_ok() {
                break;
            }
        }
        pool.end_if_unused();
    }
}

impl Connection {
    fn is_used_up(&self) -> bool {
        let max = self.cluster.config.max_requests_per_connection;
        let is_used_up = max.is_some_and(|max| self.requests >= max);
        if is_used_up {
            self.cluster.stats().cx_max_requests.inc();
        }
        is_used_up
    }
}

impl Http1Lease {
    pub(super) fn is_reused(&self) -> bool {
        self.connection.requests > 1
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.connection.local
    }

    pub(super) async fn send(
        &mut self,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, SendError> {
        self.connection.codec.send(head, body).await
    }

    /// Gives the connection back, now or when the rest of the request was sent.
    pub(super) fn complete(self) {
        let Self { pool, mut connection } = self;
        if connection.codec.is_ready() {
            pool.give_back(connection);
        } else {
            spawn_local(async move {
                if connection.codec.ready().await {
                    pool.give_back(connection);
                }
            });
        }
    }
}
