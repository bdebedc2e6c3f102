//! HTTP/2 connections: many requests at a time.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use http::Response;
use http::request::Parts;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};

use super::lifetime::{self, Lifetime};
use super::{AcquireError, Maps, Wanted, keeper};
use crate::cluster::{self, Cluster, Connected, Permit};
use crate::codec::client::{Http2, SendError};
use crate::codec::{Body, Protocol};
use crate::config::RoutingPriority;
use crate::endpoint::Endpoint;

/// The connections of this worker to one endpoint: one, unless the peer does not take as
/// many streams as there are requests.
pub(super) struct Pool {
    maps: Weak<Maps>,
    _permit: Permit,
    endpoint: Arc<Endpoint>,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// The connection that is being made; all who need one wait for it.
    connecting: RefCell<Option<Connecting>>,
    /// Requests that wait for a connection.
    pending: Cell<usize>,
    /// Numbers the connections.
    next_id: Cell<u64>,
    /// Connections before this one were there when one broke, and may break too.
    first_fresh: Cell<u64>,
    keeper: RefCell<Option<AbortHandle>>,
}

type Connecting = Shared<LocalBoxFuture<'static, Result<(), AcquireError>>>;

/// Counts a request that waits, which keeps the pool from ending.
struct Pending<'a>(&'a Rc<Pool>);

struct Connection {
    id: u64,
    codec: Http2,
    local: Option<SocketAddr>,
    cluster: Arc<Cluster>,
    /// Streams that are open.
    active: Cell<usize>,
    requests: Cell<u32>,
    idle_since: Cell<Instant>,
    lifetime: Lifetime,
    /// Takes no more requests: it is closed, or closes when the last one is done.
    is_leaving: Cell<bool>,
    /// Told when it is to be closed.
    close: Notify,
}

/// A stream of a connection.
pub(crate) struct Http2Lease {
    pool: Rc<Pool>,
    connection: Rc<Connection>,
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
            connections: RefCell::default(),
            connecting: RefCell::default(),
            pending: Cell::new(0),
            next_id: Cell::new(0),
            first_fresh: Cell::new(0),
            keeper: RefCell::default(),
        });
        let weak = Rc::downgrade(&pool);
        let sweep = move |now| weak.upgrade().map(|pool| pool.sweep(now));
        let weak = Rc::downgrade(&pool);
        let close = move || {
            if let Some(pool) = weak.upgrade() {
                pool.leave_all();
            }
        };
        let look = lifetime::first_look(cluster);
        let task = keeper::keep(Arc::clone(endpoint), look, sweep, close);
        *pool.keeper.borrow_mut() = Some(spawn_local(task).abort_handle());
        maps.http2.borrow_mut().insert(endpoint.id, Rc::clone(&pool));
        pool
    }

    /// A fresh connection is one that was made after the last of the pool's broke.
    pub(super) async fn acquire(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        wanted: Wanted,
    ) -> Result<Http2Lease, AcquireError> {
        let from = if wanted.fresh { self.first_fresh.get() } else { 0 };
        if let Some(connection) = self.with_room(from) {
            return Ok(self.lend(connection));
        }
        // Boxed: connecting is rare, and its future large.
        Box::pin(self.connect_or_wait(cluster, from, wanted.priority)).await
    }

    async fn connect_or_wait(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        from: u64,
        priority: RoutingPriority,
    ) -> Result<Http2Lease, AcquireError> {
        let stats = cluster.stats();
        let _keeps_pool = Pending::new(self);
        let Ok(_pending) = cluster.permit_pending(priority) else {
            stats.rq_pending_overflow.inc();
            return Err(AcquireError::Overflow);
        };
        stats.rq_pending_total.inc();
        let _pending_active = stats.rq_pending_active.hold();
        loop {
            if let Some(connection) = self.with_room(from) {
                return Ok(self.lend(connection));
            }
            let under_way = self.connecting.borrow().clone();
            let connecting = match under_way {
                Some(connecting) => connecting,
                None => match self.start_connecting(cluster, priority) {
                    Some(connecting) => connecting,
                    None => return self.overloaded(cluster),
                },
            };
            connecting.await?;
        }
    }

    /// `None` when the cluster may have no more connections.
    fn start_connecting(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        priority: RoutingPriority,
    ) -> Option<Connecting> {
        let is_first = self.connections.borrow().is_empty();
        let permit = cluster.permit_connection(&self.endpoint, priority, is_first).ok()?;
        // A task, so that it goes on when the request that began it is gone.
        let task = spawn_local(connect(Rc::downgrade(self), Arc::clone(cluster), permit));
        let connecting = async move { task.await.unwrap_or(Ok(())) }.boxed_local().shared();
        *self.connecting.borrow_mut() = Some(connecting.clone());
        Some(connecting)
    }

    /// Without room for another connection the codec queues the request on one.
    fn overloaded(self: &Rc<Self>, cluster: &Arc<Cluster>) -> Result<Http2Lease, AcquireError> {
        cluster.stats().cx_overflow.inc();
        let connections = self.connections.borrow();
        let usable = connections.iter().filter(|connection| !connection.is_leaving.get());
        let least = usable.min_by_key(|connection| connection.active.get());
        least.map(|connection| self.lend(Rc::clone(connection))).ok_or(AcquireError::Overflow)
    }

    /// A connection with room, of those since `from`.
    fn with_room(&self, from: u64) -> Option<Rc<Connection>> {
        let connections = self.connections.borrow();
        let mut usable = connections.iter().filter(|connection| connection.id >= from);
        usable.find(|connection| connection.has_room()).cloned()
    }

    fn lend(self: &Rc<Self>, connection: Rc<Connection>) -> Http2Lease {
        connection.active.set(connection.active.get() + 1);
        connection.requests.set(connection.requests.get() + 1);
        let max = connection.cluster.config.max_requests_per_connection;
        if max.is_some_and(|max| connection.requests.get() >= max) {
            connection.cluster.stats().cx_max_requests.inc();
            connection.is_leaving.set(true);
        }
        Http2Lease { pool: Rc::clone(self), connection }
    }

    fn leave_all(&self) {
        for connection in self.connections.borrow().iter() {
            connection.leave();
        }
    }

    fn sweep(&self, now: Instant) -> Option<Instant> {
        let connections = self.connections.borrow();
        let mut next = None;
        for connection in connections.iter().filter(|connection| !connection.is_leaving.get()) {
            if connection.has_expired(now) {
                connection.lifetime.count_end(&connection.cluster);
                connection.leave();
            } else {
                next = connection.expiry().into_iter().chain(next).min();
            }
        }
        next
    }

    fn forget(self: &Rc<Self>, connection: &Rc<Connection>) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|known| !Rc::ptr_eq(known, connection));
        drop(connections);
        self.end_if_unused();
    }

    fn end_if_unused(self: &Rc<Self>) {
        let is_connecting = self.connecting.borrow().is_some();
        if is_connecting || self.pending.get() > 0 || !self.connections.borrow().is_empty() {
            return;
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        if let Some(maps) = self.maps.upgrade() {
            let mut pools = maps.http2.borrow_mut();
            if pools.get(&self.endpoint.id).is_some_and(|known| Rc::ptr_eq(known, self)) {
                pools.remove(&self.endpoint.id);
            }
        }
    }
}

/// Adds a connection to the pool.
async fn connect(
    pool: Weak<Pool>,
    cluster: Arc<Cluster>,
    permit: Permit,
) -> Result<(), AcquireError> {
    let Some(endpoint) = pool.upgrade().map(|pool| Arc::clone(&pool.endpoint)) else {
        return Ok(());
    };
    let outcome = add_connection(&pool, &cluster, &endpoint, permit).await;
    if let Some(pool) = pool.upgrade() {
        *pool.connecting.borrow_mut() = None;
        pool.end_if_unused();
    }
    outcome
}

async fn add_connection(
    pool: &Weak<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<Endpoint>,
    permit: Permit,
) -> Result<(), AcquireError> {
    let Connected { io, local, open } =
        cluster::connect(cluster, endpoint, permit, Some(Protocol::Http2)).await?;
    cluster.stats().cx_http2_total.inc();
    let (codec, driver) = Http2::new(io, &cluster.config.http2, cluster.config.buffer_limit)
        .await
        .map_err(|error| AcquireError::Handshake(error.to_string().into()))?;
    let Some(pool) = pool.upgrade() else { return Ok(()) };
    let connection = Rc::new(Connection {
        id: pool.next_id.replace(pool.next_id.get() + 1),
        codec,
        local,
        cluster: Arc::clone(cluster),
        active: Cell::new(0),
        requests: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        lifetime: Lifetime::begin(cluster),
        is_leaving: Cell::new(false),
        close: Notify::new(),
    });
    pool.connections.borrow_mut().push(Rc::clone(&connection));
    spawn_local(async move {
        tokio::select! {
            () = driver => {}
            () = connection.close.notified() => {}
        }
        drop(open);
        connection.is_leaving.set(true);
        pool.forget(&connection);
    });
    Ok(())
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

impl Connection {
    fn has_room(&self) -> bool {
        if !self.is_leaving.get() && self.lifetime.is_over() {
            self.lifetime.count_end(&self.cluster);
            self.leave();
        }
        let own = self.cluster.config.http2.max_concurrent_streams;
        let most = own.map_or(usize::MAX, |most| most as usize).min(self.codec.max_streams());
        !self.is_leaving.get() && self.active.get() < most
    }

    /// When it is closed if nobody uses it any more.
    fn expiry(&self) -> Option<Instant> {
        self.lifetime.expiry(self.idle_since.get())
    }

    fn has_expired(&self, now: Instant) -> bool {
        let is_unused = self.active.get() == 0;
        let has_expired = self.expiry().is_some_and(|expiry| expiry <= now);
        self.lifetime.is_over() || (is_unused && has_expired)
    }

    /// Takes no more requests, and closes when the last one is done.
    fn leave(&self) {
        self.is_leaving.set(true);
        if self.active.get() == 0 {
            self.close.notify_one();
        }
    }
}

impl Http2Lease {
    pub(super) fn is_reused(&self) -> bool {
        self.connection.requests.get() > 1
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.connection.local
    }

    pub(super) async fn send(
        &mut self,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, SendError> {
        let outcome = self.connection.codec.send(head, body).await;
        if matches!(&outcome, Err(error) if error.connection_broke) {
            // Closed, or going away: the next request needs another one.
            self.connection.is_leaving.set(true);
            self.pool.first_fresh.set(self.pool.next_id.get());
        }
        outcome
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.active.set(connection.active.get() - 1);
        connection.idle_since.set(Instant::now());
        if connection.is_leaving.get() || self.pool.endpoint.is_removed() {
            connection.leave();
        }
    }
}
