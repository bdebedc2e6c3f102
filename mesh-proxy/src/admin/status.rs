//! Whether the process serves, and since when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesh_proto::envoy::config::bootstrap::v3::Bootstrap;
use mesh_proto::envoy::config::core::v3::Node;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::memory;
use crate::stats::{Level, Registry};
use crate::worker::Census;
use crate::xds::Stage;

/// What the pages say of the process as a whole.
pub(crate) struct Status {
    /// The command line, in the shape of Envoy's `CommandLineOptions`.
    pub(super) options: Value,
    pub(super) node: Node,
    started: Instant,
    is_serving: AtomicBool,
    is_draining: AtomicBool,
    asked: (UnboundedSender<Asked>, Mutex<UnboundedReceiver<Asked>>),
    /// Of the processes before this one.
    earlier_uptime: Duration,
    registry: Registry,
    live: Level,
    state: Level,
    uptime: Level,
    concurrency: Level,
    parent_connections: Level,
    epoch: Level,
    generation: Level,
    days_until_first_cert_expiring: Level,
    memory: memory::Stats,
}

/// Where the process stands in a row of hot restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation {
    pub(crate) epoch: u32,
    /// How many processes there were, this one included.
    pub(crate) number: u64,
    /// How long those before this one ran.
    pub(crate) earlier_uptime: Duration,
}

/// What the process as a whole is asked for by a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Drain and end.
    Quit,
    /// Stop listening; connections may end well or end at once. Of listeners that take what
    /// comes in, only those.
    Drain { graceful: bool, inbound_only: bool },
}

/// Envoy's `ServerInfo.State`, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Live = 0,
    Draining = 1,
    PreInitializing = 2,
    Initializing = 3,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Draining => "DRAINING",
            Self::PreInitializing => "PRE_INITIALIZING",
            Self::Initializing => "INITIALIZING",
        }
    }
}

impl Status {
    /// Of a process that has just begun.
    pub(crate) fn new(
        options: Value,
        workers: usize,
        generation: Generation,
        file: &Bootstrap,
        registry: &Registry,
    ) -> Arc<Self> {
        let (sender, receiver) = unbounded_channel();
        let status = Self {
            options,
            node: file.node.clone().unwrap_or_default(),
            started: Instant::now(),
            is_serving: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            asked: (sender, Mutex::new(receiver)),
            earlier_uptime: generation.earlier_uptime,
            registry: registry.clone(),
            parent_connections: registry.level("server.parent_connections"),
            epoch: registry.level("server.hot_restart_epoch"),
            generation: registry.level("server.hot_restart_generation"),
            live: registry.level("server.live"),
            state: registry.level("server.state"),
            uptime: registry.level("server.uptime"),
            concurrency: registry.level("server.concurrency"),
            days_until_first_cert_expiring: registry.level("server.days_until_first_cert_expiring"),
            memory: memory::Stats::new(registry),
        };
        status.concurrency.set(workers as u64);
        status.epoch.set(generation.epoch.into());
        status.generation.set(generation.number);
        status.state.set(Phase::PreInitializing as u64);
        Arc::new(status)
    }

    /// The static configuration is in force.
    pub(crate) fn set_serving(&self) {
        self.is_serving.store(true, Ordering::Relaxed);
    }

    /// The end has begun, or was called off.
    pub(crate) fn set_draining(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Ordering::Relaxed);
    }

    /// Passes on what a page was asked for.
    pub(super) fn ask(&self, asked: Asked) {
        // Whoever does it is there until the end.
        let _ = self.asked.0.send(asked);
    }

    /// What the pages are asked for. Cancel-safe.
    pub(crate) async fn asked(&self) -> Asked {
        match self.asked.1.lock().await.recv().await {
            Some(asked) => asked,
            // Not reached: the sender is here as well.
            None => std::future::pending().await,
        }
    }

    /// Where the process is, given how far the configuration has come.
    pub(super) fn phase(&self, stage: Stage) -> Phase {
        if self.is_draining.load(Ordering::Relaxed) {
            return Phase::Draining;
        }
        match (self.is_serving.load(Ordering::Relaxed), stage) {
            (true, Stage::Live) => Phase::Live,
            (_, Stage::Initializing) => Phase::Initializing,
            (_, _) => Phase::PreInitializing,
        }
    }

    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// With that of the processes before this one.
    pub(super) fn uptime_of_all(&self) -> Duration {
        self.earlier_uptime + self.uptime()
    }

    /// Brings the statistics of the server up to date. Without certificates the days are as
    /// many as there can be, as in Envoy.
    pub(super) fn publish(&self, phase: Phase, days_until_first_expires: Option<u64>) {
        self.memory.publish();
        let days = days_until_first_expires.unwrap_or(u32::MAX.into());
        self.days_until_first_cert_expiring.set(days);
        self.live.set(u64::from(phase == Phase::Live));
        self.state.set(phase as u64);
        self.uptime.set(self.uptime().as_secs());
        self.parent_connections.set(self.registry.in_older(Census::TOTAL));
    }
}
