//! Which shard of a counter the current thread writes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// Makes the current thread the only writer of worker `index`'s shards. A thread that
/// never calls this writes shard 0, which all such threads share.
pub(crate) fn set_worker(index: usize) {
    SHARD.set(index + 1);
}

/// The shard that the current thread writes.
pub(super) fn current() -> usize {
    SHARD.get()
}

/// Adds to a cell of shard `shard`: a worker's cells have one writer, so that a load and
/// a store do; shard 0 has many.
pub(super) fn add(shard: usize, cell: &AtomicU64, amount: u64) {
    if shard == 0 {
        cell.fetch_add(amount, Ordering::Relaxed);
    } else {
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }
}
