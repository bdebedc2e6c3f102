//! Gauges, of two kinds. What a hot restart makes of a value depends on which it is: what
//! is in flight in the old process is in flight still, so that both processes' [`Gauge`]s
//! add up; a [`Level`] says how this process is, and the other's means nothing here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// How much is in flight: goes up and down, for the process as a whole. A clone is the
/// same gauge.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<AtomicU64>);

/// One unit of a gauge, given back when dropped.
pub(crate) struct Held(Gauge);

/// How high something stands in this process. A clone is the same level.
#[derive(Clone, Default)]
pub(crate) struct Level(Arc<AtomicU64>);

impl Gauge {
    /// Adds one.
    pub(crate) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one away.
    pub(crate) fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds one until the guard is dropped.
    pub(crate) fn hold(&self) -> Held {
        self.inc();
        Held(self.clone())
    }

    /// The same, if the value is below `most` before.
    pub(crate) fn hold_below(&self, most: u64) -> Option<Held> {
        let more = |value: u64| (value < most).then_some(value + 1);
        let added = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        added.ok().map(|_| Held(self.clone()))
    }

    /// The value.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn downgrade(&self) -> Weak<AtomicU64> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn upgrade(weak: &Weak<AtomicU64>) -> Option<Self> {
        weak.upgrade().map(Self)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Level {
    /// Sets the value.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn downgrade(&self) -> Weak<AtomicU64> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn upgrade(weak: &Weak<AtomicU64>) -> Option<Self> {
        weak.upgrade().map(Self)
    }
}
