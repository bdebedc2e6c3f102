//! Whose turn it is.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::random;

/// Counts turns, for all workers together.
#[derive(Debug)]
pub(super) struct Turn(AtomicUsize);

impl Default for Turn {
    /// Starts anywhere, so that proxies that start together do not all begin with the same
    /// host.
    fn default() -> Self {
        Self::at(random::below(1 << 20) as usize)
    }
}

impl Clone for Turn {
    /// Goes on where this one is now.
    fn clone(&self) -> Self {
        Self::at(self.0.load(Relaxed))
    }
}

impl Turn {
    pub(super) fn at(turn: usize) -> Self {
        Self(AtomicUsize::new(turn))
    }

    fn take(&self) -> usize {
        self.0.fetch_add(1, Relaxed)
    }

    /// The next of `count`, which is not zero.
    pub(super) fn next(&self, count: usize) -> usize {
        self.take() % count
    }

    /// The next of `count` that weigh so much, of which the largest weighs `max`, more than
    /// zero.
    ///
    /// This is a stride schedule that needs no state but the turn: in `max` rounds over all,
    /// what weighs `w` is taken in `w` rounds, evenly spread, and skipped in the others.
    pub(super) fn next_by_weight(
        &self,
        count: usize,
        max: u64,
        weight: impl Fn(usize) -> u64,
    ) -> usize {
        loop {
            let turn = self.take();
            let (round, index) = (turn / count, turn % count);
            let weight = weight(index);
            // The offset keeps those of the same weight from being taken in the same round.
            // Reduced before the sum, which then fits whatever the weights.
            let offset = index as u64 * (max / 2) % max;
            let position = (round as u64 % max) * weight + offset;
            if position % max >= max - weight {
                return index;
            }
        }
    }
}
