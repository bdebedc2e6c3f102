//! Statistics that are made of something else when somebody looks.

use std::sync::{Arc, Weak};

type Source = dyn Fn() -> u64 + Send + Sync;

/// Kept for as long as the statistic is to be there.
pub(crate) struct Derived(Arc<Source>);

impl Derived {
    pub(super) fn new(value: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(value))
    }

    pub(super) fn downgrade(&self) -> Weak<Source> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn value(weak: &Weak<Source>) -> Option<u64> {
        weak.upgrade().map(|source| source())
    }
}
