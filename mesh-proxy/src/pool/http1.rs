//! HTTP/1.1 connections: one request at a time, the last used first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::Response;
use http::request::Parts;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};

use super::lifetime::{self, Lifetime};
use super::{AcquireError, Maps, Wanted, keeper};
use crate::cluster::{self, Cluster, Connected, OpenConnection, Permit};
use crate::codec::client::{Http1, SendError};
use crate::codec::{Body, Limits, Protocol};
use crate::config::RoutingPriority;
use crate::endpoint::Endpoint;

/// The connections of this worker to one endpoint.
pub(super) struct Pool {
    maps: Weak<Maps>,
    _permit: Permit,
    endpoint: Arc<Endpoint>,
    /// The newest last.
    idle: RefCell<Vec<Idle>>,
    /// Connections, and those that are being made.
    open: Cell<usize>,
    next_id: Cell<u64>,
    waiting: RefCell<VecDeque<oneshot::Sender<Turn>>>,
    /// Requests that connect or wait.
    pending: Cell<usize>,
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
    lifetime: Lifetime,
    cluster: Arc<Cluster>,
}

/// Counts a connection for its cluster and endpoint, and then for its pool. Held by whoever
/// drives it.
struct Open {
    cluster: Arc<Cluster>,
    _counted: OpenConnection,
    _slot: Slot,
}

/// Counts a connection of the pool until it is dropped, and the pool with its last one.
struct Slot(Rc<Pool>);

/// Counts a request that connects or waits, which keeps the pool from ending.
struct Pending<'a>(&'a Rc<Pool>);

/// A place among those that wait. What comes too late for it goes to the next.
struct Place<'a> {
    pool: &'a Rc<Pool>,
    turn: oneshot::Receiver<Turn>,
}

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
        permit: Permit,
    ) -> Rc<Self> {
        let pool = Rc::new(Self {
            maps: Rc::downgrade(maps),
            _permit: permit,
            endpoint: Arc::clone(endpoint),
            idle: RefCell::default(),
            open: Cell::new(0),
            next_id: Cell::new(0),
            waiting: RefCell::default(),
            pending: Cell::new(0),
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
        let look = lifetime::first_look(cluster);
        let task = keeper::keep(Arc::clone(endpoint), look, sweep, close);
        *pool.keeper.borrow_mut() = Some(spawn_local(task).abort_handle());
        maps.http1.borrow_mut().insert(endpoint.id, Rc::clone(&pool));
        pool
    }

    pub(super) async fn acquire(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        wanted: Wanted,
    ) -> Result<Http1Lease, AcquireError> {
        if !wanted.fresh
            && let Some(connection) = self.take_idle()
        {
            return Ok(self.lend(connection));
        }
        // Boxed: connecting is rare, and its future large.
        Box::pin(self.connect_or_wait(cluster, wanted.priority)).await
    }

    async fn connect_or_wait(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        priority: RoutingPriority,
    ) -> Result<Http1Lease, AcquireError> {
        let stats = cluster.stats();
        let _keeps_pool = Pending::new(self);
        let Ok(_pending) = cluster.permit_pending(priority) else {
            stats.rq_pending_overflow.inc();
            return Err(AcquireError::Overflow);
        };
        stats.rq_pending_total.inc();
        let _pending_active = stats.rq_pending_active.hold();
        loop {
            // A worker without a connection could wait for ever: it always may have one.
            let is_first = self.open.get() == 0;
            if let Ok(permit) = cluster.permit_connection(&self.endpoint, priority, is_first) {
                return self.connect(cluster, permit).await;
            }
            stats.cx_overflow.inc();
            if let Turn::Connection(connection) = Place::new(self).turn().await {
                return Ok(self.lend(*connection));
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
            cluster::connect(cluster, &self.endpoint, permit, Some(Protocol::Http1)).await?;
        cluster.stats().cx_http1_total.inc();
        let config = &cluster.config;
        let limits = Limits { bytes: config.max_headers_size, count: config.max_headers_count };
        let (codec, driver) =
            Http1::new(io, limits, config.buffer_limit, Arc::clone(&config.http1));
        let id = self.next_id.replace(self.next_id.get() + 1);
        let counted = Open { cluster: Arc::clone(cluster), _counted: open, _slot: slot };
        spawn_local(drive(id, driver, Rc::clone(self), counted));
        let lifetime = Lifetime::begin(cluster);
        let cluster = Arc::clone(cluster);
        Ok(self.lend(Connection { id, codec, local, requests: 0, lifetime, cluster }))
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if connection.lifetime.is_over() {
                connection.lifetime.count_end(&connection.cluster);
            } else if connection.codec.is_ready() {
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
        if let Some(Turn::Connection(connection)) =
            self.pass_on(Turn::Connection(Box::new(connection)))
        {
            let idle = Idle { since: Instant::now(), connection: *connection };
            self.idle.borrow_mut().push(idle);
        }
    }

    /// Gives a turn to the first who waits, or back when nobody does.
    fn pass_on(&self, mut turn: Turn) -> Option<Turn> {
        loop {
            let Some(next) = self.waiting.borrow_mut().pop_front() else { return Some(turn) };
            match next.send(turn) {
                Ok(()) => return None,
                // That request is gone.
                Err(returned) => turn = returned,
            }
        }
    }

    /// Closes what was idle, or there, for too long, and gives the time when the next one will
    /// have been.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut idle = self.idle.borrow_mut();
        let is_over = |idle: &mut Idle| idle.expiry().is_some_and(|expiry| expiry <= now);
        for Idle { connection, .. } in idle.extract_if(.., is_over) {
            connection.lifetime.count_end(&connection.cluster);
        }
        idle.iter().filter_map(Idle::expiry).min()
    }

    fn end_if_unused(self: &Rc<Self>) {
        if self.open.get() > 0 || self.pending.get() > 0 {
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
async fn drive(id: u64, driver: impl Future<Output = bool>, pool: Rc<Pool>, open: Open) {
    if driver.await {
        open.cluster.stats().cx_protocol_error.inc();
    }
    pool.idle.borrow_mut().retain(|idle| idle.connection.id != id);
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
        pool.pass_on(Turn::Room);
        pool.end_if_unused();
    }
}

impl<'a> Pending<'a> {
    fn new(pool: &'a Rc<Pool>) -> Self {
        pool.pending.set(pool.pending.get() + 1);
        pool.endpoint.stats.rq_pending_active.fetch_add(1, Relaxed);
        Self(pool)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.set(self.0.pending.get() - 1);
        self.0.endpoint.stats.rq_pending_active.fetch_sub(1, Relaxed);
        self.0.end_if_unused();
    }
}

impl<'a> Place<'a> {
    fn new(pool: &'a Rc<Pool>) -> Self {
        let (sender, turn) = oneshot::channel();
        pool.waiting.borrow_mut().push_back(sender);
        Self { pool, turn }
    }

    async fn turn(mut self) -> Turn {
        (&mut self.turn).await.unwrap_or(Turn::Room)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turn.close();
        match self.turn.try_recv() {
            Ok(Turn::Connection(connection)) => self.pool.give_back(*connection),
            Ok(Turn::Room) => drop(self.pool.pass_on(Turn::Room)),
            Err(_) => {}
        }
    }
}

impl Idle {
    fn expiry(&self) -> Option<Instant> {
        self.connection.lifetime.expiry(self.since)
    }
}

impl Connection {
    fn is_used_up(&self) -> bool {
        if self.lifetime.is_over() {
            self.lifetime.count_end(&self.cluster);
            return true;
        }
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

    /// Gives the connection back, if it takes another request.
    pub(super) fn complete(self) {
        let Self { pool, mut connection } = self;
        if connection.codec.finish() {
            pool.give_back(connection);
        }
    }
}
