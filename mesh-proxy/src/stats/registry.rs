//! All statistics of the process, by name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::counter::{Allocator, WeakCounter};
use super::histogram::{Shards, Snapshot};
use super::{Counter, Derived, Gauge, Histogram, Level};

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
    /// What is in flight in the older process of a hot restart.
    older: BTreeMap<Box<str>, u64>,
    /// The number of entries at which those that died are looked for.
    sweep_at: usize,
}

enum Stat {
    Counter(WeakCounter),
    Gauge(Weak<AtomicU64>),
    Level(Weak<AtomicU64>),
    Derived(Weak<dyn Fn() -> u64 + Send + Sync>),
    Histogram(Weak<Shards>),
    /// What an older process counted, until somebody here asks for it.
    Kept(Kept),
}

enum Kept {
    Counter(u64),
    Histogram(Snapshot),
    /// The value is in [`State::older`].
    Gauge,
}

const SWEEP_MIN: usize = 1024;

impl Registry {
    /// An empty registry for `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        let state = State {
            allocator: Allocator::new(workers),
            stats: BTreeMap::new(),
            older: BTreeMap::new(),
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
        if let Some(Stat::Kept(Kept::Counter(kept))) = state.stats.get(name) {
            counter.add(*kept);
        }
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

    /// The level of this name; see [`Registry::counter`].
    pub(crate) fn level(&self, name: &str) -> Level {
        let mut state = self.lock();
        if let Some(Stat::Level(weak)) = state.stats.get(name)
            && let Some(level) = Level::upgrade(weak)
        {
            return level;
        }
        let level = Level::default();
        state.insert(name, Stat::Level(level.downgrade()));
        level
    }

    /// A level of this name that is `value` whenever somebody looks, for as long as what is
    /// given is kept. Of two the later one is told. `value` must not call the registry.
    pub(crate) fn derived(
        &self,
        name: &str,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Derived {
        let derived = Derived::new(value);
        self.lock().insert(name, Stat::Derived(derived.downgrade()));
        derived
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
        if let Some(Stat::Kept(Kept::Histogram(kept))) = state.stats.get(name) {
            histogram.add(kept);
        }
        state.insert(name, Stat::Histogram(histogram.downgrade()));
        histogram
    }

    /// Shows every statistic that is alive, in the order of the names, with what an older
    /// process counted. `see` must not call the registry.
    pub(crate) fn visit(&self, see: &mut dyn FnMut(&str, Value)) {
        let state = self.lock();
        for (name, stat) in &state.stats {
            if let Some(value) = state.value(name, stat) {
                see(name, value);
            }
        }
    }

    /// [`Registry::visit`] without what is of no use to another process: levels.
    pub(super) fn visit_countable(&self, see: &mut dyn FnMut(&str, Value)) {
        let state = self.lock();
        let countable = state
            .stats
            .iter()
            .filter(|(_, stat)| !matches!(stat, Stat::Level(_) | Stat::Derived(_)));
        for (name, stat) in countable {
            if let Some(value) = state.value(name, stat) {
                see(name, value);
            }
        }
    }

    /// Adds what an older process counted: of counters and histograms so much more, of a
    /// gauge its value now. What nobody here has asked for yet is kept for whoever does.
    pub(super) fn import(&self, name: &str, value: Value) {
        let mut state = self.lock();
        match value {
            Value::Counter(more) => state.import_counter(name, more),
            Value::Histogram(more) => state.import_histogram(name, &more),
            Value::Gauge(0) => state.forget_older(name),
            Value::Gauge(value) => {
                if !state.stats.contains_key(name) {
                    state.insert(name, Stat::Kept(Kept::Gauge));
                }
                state.older.insert(name.into(), value);
            }
        }
    }

    /// The older process is gone, and nothing is in flight there.
    pub(crate) fn forget_older(&self) {
        let mut state = self.lock();
        state.older.clear();
        state.stats.retain(|_, stat| !matches!(stat, Stat::Kept(Kept::Gauge)));
    }

    /// What is in flight in the older process under the name of a gauge.
    pub(crate) fn in_older(&self, name: &str) -> u64 {
        self.lock().older.get(name).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn value(&self, name: &str, stat: &Stat) -> Option<Value> {
        match stat {
            Stat::Gauge(_) | Stat::Kept(Kept::Gauge) => {
                let older = self.older.get(name).copied();
                let own = match stat.value() {
                    Some(Value::Gauge(own)) => Some(own),
                    _ => None,
                };
                // One that died here may still be alive there.
                own.or(older.map(|_| 0))
                    .map(|own| Value::Gauge(own.wrapping_add(older.unwrap_or_default())))
            }
            _ => stat.value(),
        }
    }

    fn import_counter(&mut self, name: &str, more: u64) {
        match self.stats.get_mut(name) {
            Some(Stat::Kept(Kept::Counter(kept))) => *kept = kept.wrapping_add(more),
            Some(Stat::Counter(weak)) if let Some(counter) = weak.upgrade() => counter.add(more),
            // Another kind here: its own.
            Some(stat) if stat.value().is_some() => {}
            _ => self.insert(name, Stat::Kept(Kept::Counter(more))),
        }
    }

    fn import_histogram(&mut self, name: &str, more: &Snapshot) {
        match self.stats.get_mut(name) {
            Some(Stat::Kept(Kept::Histogram(kept))) => kept.add(more),
            Some(Stat::Histogram(weak)) if let Some(histogram) = Histogram::upgrade(weak) => {
                histogram.add(more);
            }
            Some(stat) if stat.value().is_some() => {}
            _ => self.insert(name, Stat::Kept(Kept::Histogram(*more))),
        }
    }

    fn forget_older(&mut self, name: &str) {
        self.older.remove(name);
        if matches!(self.stats.get(name), Some(Stat::Kept(Kept::Gauge))) {
            self.stats.remove(name);
        }
    }

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
            Self::Level(weak) => Level::upgrade(weak).map(|level| Value::Gauge(level.value())),
            Self::Derived(weak) => Derived::value(weak).map(Value::Gauge),
            Self::Histogram(weak) => {
                Histogram::upgrade(weak).map(|histogram| Value::Histogram(histogram.snapshot()))
            }
            Self::Kept(Kept::Counter(kept)) => Some(Value::Counter(*kept)),
            Self::Kept(Kept::Histogram(kept)) => Some(Value::Histogram(*kept)),
            Self::Kept(Kept::Gauge) => Some(Value::Gauge(0)),
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
