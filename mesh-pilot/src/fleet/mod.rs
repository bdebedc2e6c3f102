//! The connected proxies: what each has, and how far each snapshot has come.

mod connection;
mod metrics;
mod rollout;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use mesh_xds::ResourceType;
use mesh_xds::server;
use tokio::sync::watch;

pub use connection::Connection;
pub use metrics::{Metrics, gauge, head};
pub use rollout::{Rejection, Rollout};

use crate::translate::Proxy;

/// How many snapshots back the time of commit is remembered.
const COMMITS_KEPT: usize = 256;
/// How many snapshots back it is known whether they concerned a proxy.
const STEPS_KEPT: usize = 64;

/// Every connected proxy.
#[derive(Debug)]
pub struct Fleet {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    proxies: BTreeMap<u64, Connected>,
    /// Snapshots and when they were published, oldest first.
    commits: VecDeque<(u64, Instant)>,
}

/// A connected proxy.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Who it is.
    pub proxy: Proxy,
    /// What it says it is, "envoy 1.40.0".
    pub version: String,
    /// When its stream began.
    pub since: SystemTime,
    /// The types that it asked for, with what it has of each.
    pub types: BTreeMap<ResourceType, server::Status>,
    /// The snapshot from which the last response of a type was made.
    sent_from: BTreeMap<ResourceType, u64>,
    steps: VecDeque<Step>,
}

/// A snapshot on its way to one proxy.
#[derive(Clone, Debug)]
struct Step {
    snapshot: u64,
    /// The first one of the connection: how old it was then says nothing of us.
    first: bool,
    /// Whether it changed anything for the proxy.
    concerns: bool,
    /// When the proxy had answered for all of it.
    settled: Option<Instant>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: watch::channel(()).0, metrics: Metrics::default() }
    }
}

impl Fleet {
    /// Notes a proxy, until the connection that is returned is dropped.
    pub fn connect(self: &Arc<Self>, proxy: Proxy, version: String) -> Connection {
        let mut inner = self.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        let connected = Connected {
            proxy,
            version,
            since: SystemTime::now(),
            types: BTreeMap::new(),
            sent_from: BTreeMap::new(),
            steps: VecDeque::new(),
        };
        inner.proxies.insert(id, connected);
        drop(inner);
        self.changed.send_replace(());
        Connection::new(self.clone(), id)
    }

    /// Every connected proxy, by id and then by age of the connection.
    pub fn proxies(&self) -> Vec<Connected> {
        let mut proxies: Vec<_> = self.lock().proxies.values().cloned().collect();
        proxies.sort_by(|a, b| a.proxy.id.cmp(&b.proxy.id));
        proxies
    }

    /// How far a snapshot has come.
    pub fn rollout(&self, snapshot: u64) -> Rollout {
        rollout::of(&self.lock(), snapshot)
    }

    /// Is marked as changed by whatever may change a [`Rollout`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Notes when a snapshot was published; the first call for it counts.
    pub fn committed(&self, snapshot: u64) {
        self.lock().committed(snapshot);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn committed(&mut self, snapshot: u64) {
        if self.commits.back().is_some_and(|(last, _)| *last >= snapshot) {
            return;
        }
        self.commits.push_back((snapshot, Instant::now()));
        if self.commits.len() > COMMITS_KEPT {
            self.commits.pop_front();
        }
    }

    /// When a snapshot was published, or the first one after it that was seen.
    fn commit_time(&self, snapshot: u64) -> Option<Instant> {
        let commit = self.commits.iter().find(|(version, _)| *version >= snapshot)?;
        Some(commit.1)
    }
}
