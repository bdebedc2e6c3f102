//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::shard;

/// How many counters share a cache line.
const SLOTS: usize = 8;

/// One cache line of one worker: the same slot of each row is the same counter.
#[repr(align(64))]
#[derive(Default)]
struct Row([AtomicU64; SLOTS]);

/// Counts up. A clone counts the same thing.
#[derive(Clone)]
pub(crate) struct Counter {
    rows: Arc<[Row]>,
    slot: usize,
    alive: Arc<()>,
}

/// A counter that is not kept alive.
pub(super) struct WeakCounter {
    rows: Weak<[Row]>,
    slot: usize,
    alive: Weak<()>,
}

/// Hands out counters; eight made in turn share each worker's cache line.
pub(super) struct Allocator {
    shards: usize,
    rows: Weak<[Row]>,
    next: usize,
}

impl Counter {
    /// Adds one.
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Adds `amount`.
    pub(crate) fn add(&self, amount: u64) {
        let shard = shard::current();
        // A thread of another, larger set of workers (in tests) counts with the others.
        let shard = if shard < self.rows.len() { shard } else { 0 };
        if let Some(cell) = self.rows.get(shard).and_then(|row| row.0.get(self.slot)) {
            shard::add(shard, cell, amount);
        }
    }

    /// The sum over all workers.
    pub(crate) fn value(&self) -> u64 {
        self.rows
            .iter()
            .filter_map(|row| row.0.get(self.slot))
            .fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }

    pub(super) fn downgrade(&self) -> WeakCounter {
        WeakCounter {
            rows: Arc::downgrade(&self.rows),
            slot: self.slot,
            alive: Arc::downgrade(&self.alive),
        }
    }
}

impl WeakCounter {
    pub(super) fn upgrade(&self) -> Option<Counter> {
        let alive = self.alive.upgrade()?;
        Some(Counter { rows: self.rows.upgrade()?, slot: self.slot, alive })
    }
}

impl Allocator {
    pub(super) fn new(workers: usize) -> Self {
        Self { shards: workers + 1, rows: Weak::<[Row; 0]>::new(), next: SLOTS }
    }

    pub(super) fn counter(&mut self) -> Counter {
        let rows = match self.rows.upgrade() {
            Some(rows) if self.next < SLOTS => rows,
            _ => {
                self.next = 0;
                (0..self.shards).map(|_| Row::default()).collect()
            }
        };
        self.rows = Arc::downgrade(&rows);
        let slot = self.next;
        self.next += 1;
        Counter { rows, slot, alive: Arc::new(()) }
    }
}
