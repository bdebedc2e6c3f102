//! All statistics of the process, by name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::counter::{Allocator, WeakCounter};
use super::histogram::{Shards, Snapshot};
use super::{Counter, Gauge, Histogram};

/// Makes statistics when they are first asked for and forgets those that nobody holds any
/// more: what belongs to a removed cluster goes with it. A clone is the same registry.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Inner>);

/// The value of one statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Counter(u64),
    Gauge(u64),
    Histogram(Snapshot),
}

struct Inner {
    workers: usize,
    state: Mutex<State>,
}

struct State {
    allocator: Allocator,
    stats: BTreeMap<Box<str>, Stat>,
    /// The number of entries at which those that died are looked for.
    sweep_at: usize,
}

enum Stat {
    Counter(WeakCounter),
    Gauge(Weak<AtomicU64>),
    Histogram(Weak<Shards>),
}

const SWEEP_MIN: usize = 1024;

impl Registry {
    /// An empty registry for `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        let state = State {
            allocator: Allocator::new(workers),
            stats: BTreeMap::new(),
            sweep_at: SWEEP_MIN,
        };
        Self(Arc::new(Inner { workers, state: Mutex::new(state) }))
    }

    /// The counter of this name, Envoy's full dotted one. A name belongs to one kind of
    /// statistic; asked for as another kind, it becomes that.
    pub(crate) fn counter(&self, name: &str) -> Counter {
        let mut state = self.lock();
        if let Some(Stat::Counter(weak)) = state.stats.get(name)
            && let Some(counter) = weak.upgrade()
        {
            return counter;
        }
        let counter = state.allocator.counter();
        state.insert(name, Stat::Counter(counter.downgrade()));
        counter
    }

    /// The gauge of this name; see [`Registry::counter`].
    pub(crate) fn gauge(&self, name: &str) -> Gauge {
        let mut state = self.lock();
        if let Some(Stat::Gauge(weak)) = state.stats.get(name)
            && let Some(gauge) = Gauge::upgrade(weak)
        {
            return gauge;
        }
        let gauge = Gauge::default();
        state.insert(name, Stat::Gauge(gauge.downgrade()));
        gauge
    }

    /// The histogram of this name; see [`Registry::counter`].
    pub(crate) fn histogram(&self, name: &str) -> Histogram {
        let mut state = self.lock();
        if let Some(Stat::Histogram(weak)) = state.stats.get(name)
            && let Some(histogram) = Histogram::upgrade(weak)
        {
            return histogram;
        }
        let histogram = Histogram::new(self.0.workers);
        state.insert(name, Stat::Histogram(histogram.downgrade()));
        histogram
    }

    /// Shows every statistic that is alive, in the order of the names. `see` must not call
    /// the registry.
    pub(crate) fn visit(&self, see: &mut dyn FnMut(&str, Value)) {
        for (name, stat) in &self.lock().stats {
            if let Some(value) = stat.value() {
                see(name, value);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, name: &str, stat: Stat) {
        if self.stats.len() >= self.sweep_at {
            self.stats.retain(|_, stat| stat.value().is_some());
            self.sweep_at = SWEEP_MIN.max(self.stats.len() * 2);
        }
        match self.stats.entry(name.into()) {
            Entry::Occupied(mut old) => {
                old.insert(stat);
            }
            Entry::Vacant(place) => {
                place.insert(stat);
            }
        }
    }
}

impl Stat {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Counter(weak) => weak.upgrade().map(|counter| Value::Counter(counter.value())),
            Self::Gauge(weak) => Gauge::upgrade(weak).map(|gauge| Value::Gauge(gauge.value())),
            Self::Histogram(weak) => {
                Histogram::upgrade(weak).map(|histogram| Value::Histogram(histogram.snapshot()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::set_worker;

    fn values(registry: &Registry) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        registry.visit(&mut |name, value| values.push((name.to_owned(), value)));
        values
    }

    #[test]
    fn sums_what_the_workers_counted() {
        let registry = Registry::new(2);
        let counters: Vec<_> = (0..20).map(|n| registry.counter(&format!("c{n:02}"))).collect();
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let counters = &counters;
                scope.spawn(move || {
                    set_worker(worker);
                    for _ in 0..1000 {
                        counters.iter().for_each(Counter::inc);
                    }
                });
            }
        });
        counters[3].add(5);
        let values = values(&registry);
        assert_eq!(values.len(), 20);
        for (name, value) in values {
            let expected = if name == "c03" { 2005 } else { 2000 };
            assert_eq!(value, Value::Counter(expected), "{name}");
        }
    }

    #[test]
    fn one_name_is_one_statistic_until_nobody_holds_it() {
        let registry = Registry::new(1);
        let (gauge, counter) = (registry.gauge("b"), registry.counter("a"));
        registry.gauge("b").inc();
        registry.counter("a").inc();
        assert_eq!(gauge.value(), 1);
        assert_eq!(
            values(&registry),
            [("a".to_owned(), Value::Counter(1)), ("b".to_owned(), Value::Gauge(1))]
        );
        drop((gauge, counter));
        assert_eq!(values(&registry), []);
        assert_eq!(registry.counter("a").value(), 0);
    }

    #[test]
    fn dead_entries_do_not_pile_up() {
        let registry = Registry::new(1);
        for n in 0..10 * SWEEP_MIN {
            registry.counter(&format!("cluster.c{n}.upstream_rq_total")).inc();
        }
        assert!(registry.lock().stats.len() <= 2 * SWEEP_MIN);
    }

    #[test]
    fn what_is_held_is_given_back() {
        let gauge = Registry::new(1).gauge("cluster.c.upstream_rq_active");
        let held = gauge.hold();
        assert_eq!(gauge.value(), 1);
        drop(held);
        assert_eq!(gauge.value(), 0);
    }
}
