//! What is counted of answers after which a request was tried again.

use std::sync::OnceLock;

use http::StatusCode;

use crate::stats::{ByCode, Counter, Registry};

/// Envoy's `cluster.<name>.retry.upstream_rq_*`, made with the first answer.
pub(super) struct RetryStats {
    registry: Registry,
    name: Box<str>,
    made: OnceLock<Box<Made>>,
}

struct Made {
    completed: Counter,
    by_class: [Counter; 5],
    by_code: ByCode,
}

impl RetryStats {
    pub(super) fn new(registry: &Registry, name: &str) -> Self {
        Self { registry: registry.clone(), name: name.into(), made: OnceLock::new() }
    }

    /// Counts an answer with this status.
    pub(super) fn count(&self, status: StatusCode) {
        let made = self.made.get_or_init(|| Box::new(Made::new(&self.registry, &self.name)));
        made.completed.inc();
        if let Some(class) = made.by_class.get(usize::from(status.as_u16() / 100) - 1) {
            class.inc();
        }
        made.by_code.count(status);
    }
}

impl Made {
    fn new(registry: &Registry, name: &str) -> Self {
        let prefix = format!("cluster.{name}.retry.upstream_rq");
        let counter = |stat| registry.counter(&format!("{prefix}_{stat}"));
        Self {
            completed: counter("completed"),
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(counter),
            by_code: ByCode::new(registry, &prefix),
        }
    }
}
