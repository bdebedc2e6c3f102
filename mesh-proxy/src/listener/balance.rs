//! `exact_balance`: which worker takes a connection.

use std::sync::{Mutex, PoisonError};

use crate::stats::{Gauge, Held, Registry};

/// How many of a listener's connections each worker has. A lock is taken when one comes, as
/// in Envoy.
pub(super) struct Balance {
    /// `listener.<address>.worker_<n>.downstream_cx_active`
    active: Vec<Gauge>,
    choosing: Mutex<()>,
}

/// A connection's place on a worker.
pub(super) struct Seat {
    pub(super) worker: usize,
    pub(super) held: Held,
}

impl Balance {
    /// `prefix` is that of the listener's statistics.
    pub(super) fn new(registry: &Registry, prefix: &str, workers: usize) -> Self {
        let gauge = |n| registry.gauge(&format!("{prefix}.worker_{n}.downstream_cx_active"));
        Self { active: (0..workers).map(gauge).collect(), choosing: Mutex::default() }
    }

    /// A place on the worker that has the fewest; `None` without workers.
    pub(super) fn seat(&self) -> Option<Seat> {
        let _choosing = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let fewest = self.active.iter().enumerate().min_by_key(|(_, active)| active.value());
        fewest.map(|(worker, active)| Seat { worker, held: active.hold() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_where_there_are_fewest() {
        let balance = Balance::new(&Registry::new(3), "listener.a", 3);
        let mut seats: Vec<_> = (0..6).filter_map(|_| balance.seat()).collect();
        let workers: Vec<_> = seats.iter().map(|seat| seat.worker).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);
        seats.retain(|seat| seat.worker != 1);
        let next = [balance.seat(), balance.seat()].map(|seat| seat.unwrap());
        assert_eq!(next.each_ref().map(|seat| seat.worker), [1, 1]);
    }
}
