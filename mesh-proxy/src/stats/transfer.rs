//! From one process to the next: what was counted, and what is in flight.

use std::collections::HashMap;

use super::{Registry, Value};

/// What another process was told so far, so that it is told each thing once: of counters
/// and histograms what came since, of gauges the value now.
#[derive(Default)]
pub(crate) struct Export {
    told: HashMap<Box<str>, Value>,
}

impl Export {
    /// What has changed since the last call. All of it is taken to reach the other side: what
    /// is lost on the way must end the export.
    pub(crate) fn changes(&mut self, registry: &Registry) -> Vec<(String, Value)> {
        let mut changes = Vec::new();
        let mut gone = std::mem::take(&mut self.told);
        registry.visit_countable(&mut |name, now| {
            let before = gone.remove_entry(name);
            let change = change(before.as_ref().map(|(_, value)| value), now);
            if let Some(change) = change {
                changes.push((name.to_owned(), change));
            }
            let name = before.map_or_else(|| name.into(), |(name, _)| name);
            self.told.insert(name, now);
        });
        // A gauge that nobody holds any more has nothing in flight.
        for (name, value) in gone {
            if matches!(value, Value::Gauge(1..)) {
                changes.push((name.into(), Value::Gauge(0)));
            }
        }
        changes
    }
}

fn change(before: Option<&Value>, now: Value) -> Option<Value> {
    match (before, now) {
        // One that is smaller was made anew.
        (Some(Value::Counter(before)), Value::Counter(now)) if now >= *before => {
            Some(Value::Counter(now - before)).filter(|_| now != *before)
        }
        (Some(Value::Histogram(before)), Value::Histogram(now))
            if now.count() >= before.count() =>
        {
            Some(Value::Histogram(now.since(before))).filter(|_| now != *before)
        }
        (Some(before), now) if *before == now => None,
        (None, Value::Gauge(0)) => None,
        (_, now) => Some(now),
    }
}

impl Registry {
    /// Takes what an [`Export`] of an older process gave.
    pub(crate) fn import_all(&self, changes: impl IntoIterator<Item = (String, Value)>) {
        for (name, value) in changes {
            self.import(&name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(registry: &Registry, name: &str) -> Option<Value> {
        let mut found = None;
        registry.visit(&mut |other, value| found = (other == name).then_some(value).or(found));
        found
    }

    /// An old process, a new one, and the way between them.
    struct Both {
        old: Registry,
        new: Registry,
        export: Export,
    }

    impl Both {
        fn new() -> Self {
            Self { old: Registry::new(1), new: Registry::new(2), export: Export::default() }
        }

        fn transfer(&mut self) -> usize {
            let changes = self.export.changes(&self.old);
            let count = changes.len();
            self.new.import_all(changes);
            count
        }
    }

    #[test]
    fn counts_add_up_once_whenever_the_name_is_made() {
        let mut both = Both::new();
        let (early, late) = (both.old.counter("early"), both.old.counter("late"));
        let time = both.old.histogram("time");
        let here = both.new.counter("early");
        for round in 1..=3 {
            early.add(10);
            late.add(5);
            time.record(7);
            here.inc();
            assert_eq!(both.transfer(), 3);
            assert_eq!(both.transfer(), 0);
            assert_eq!(here.value(), 11 * round);
            // Shown before it is made.
            assert_eq!(value(&both.new, "late"), Some(Value::Counter(5 * round)));
            let Some(Value::Histogram(shown)) = value(&both.new, "time") else { panic!() };
            assert_eq!((shown.count(), shown.sum), (round, 7 * round));
        }
        let (late_here, time_here) = (both.new.counter("late"), both.new.histogram("time"));
        assert_eq!((late_here.value(), time_here.snapshot().count()), (15, 3));
        late.add(1);
        time.record(1);
        both.transfer();
        assert_eq!((late_here.value(), time_here.snapshot().count()), (16, 4));
    }

    #[test]
    fn what_is_in_flight_adds_up_and_levels_do_not() {
        let mut both = Both::new();
        let (old, new) = (both.old.gauge("cx_active"), both.new.gauge("cx_active"));
        let only_old = both.old.gauge("rq_active");
        let (high, low) = (both.old.level("members"), both.new.level("members"));
        high.set(9);
        low.set(2);
        let held = [old.hold(), old.hold(), only_old.hold()];
        new.inc();
        both.transfer();
        assert_eq!(value(&both.new, "cx_active"), Some(Value::Gauge(3)));
        assert_eq!(value(&both.new, "rq_active"), Some(Value::Gauge(1)));
        assert_eq!(value(&both.new, "members"), Some(Value::Gauge(2)));
        assert_eq!(both.new.in_older("cx_active"), 2);
        drop(held);
        both.transfer();
        assert_eq!(value(&both.new, "cx_active"), Some(Value::Gauge(1)));
        assert_eq!(value(&both.new, "rq_active"), None);
    }

    #[test]
    fn nothing_is_in_flight_in_a_process_that_is_gone() {
        let mut both = Both::new();
        let gauge = both.old.gauge("cx_active");
        let here = both.new.gauge("cx_active");
        here.inc();
        let _held = gauge.hold();
        both.transfer();
        both.new.forget_older();
        assert_eq!(value(&both.new, "cx_active"), Some(Value::Gauge(1)));
        // Nor under a name whose last holder there is gone.
        let mut both = Both::new();
        let gauge = both.old.gauge("cx_active");
        gauge.inc();
        both.transfer();
        drop(gauge);
        both.transfer();
        assert_eq!(value(&both.new, "cx_active"), None);
    }

    #[test]
    fn what_was_kept_is_passed_on() {
        let mut both = Both::new();
        let counter = both.old.counter("never.made");
        counter.add(4);
        both.transfer();
        let mut next = Both { old: both.new, new: Registry::new(1), export: Export::default() };
        next.transfer();
        assert_eq!(value(&next.new, "never.made"), Some(Value::Counter(4)));
    }

    #[test]
    fn a_counter_made_anew_starts_from_nothing() {
        let mut both = Both::new();
        let counter = both.old.counter("cluster.a.rq");
        counter.add(10);
        both.transfer();
        drop(counter);
        let counter = both.old.counter("cluster.a.rq");
        counter.add(3);
        both.transfer();
        assert_eq!(value(&both.new, "cluster.a.rq"), Some(Value::Counter(13)));
    }
}
