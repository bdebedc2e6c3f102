//! What is counted of answers after which a request was tried again.

use std::sync::OnceLock;

use http::StatusCode;

use crate::stats::{ByClass, ByCode, Registry};

/// Envoy's `cluster.<name>.retry.upstream_rq_*`, made with the first answer.
pub(super) struct RetryStats {
    registry: Registry,
    name: Box<str>,
    made: OnceLock<Box<Made>>,
}

struct Made {
    by_class: ByClass,
    by_code: ByCode,
}

impl RetryStats {
    pub(super) fn new(registry: &Registry, name: &str) -> Self {
        Self { registry: registry.clone(), name: name.into(), made: OnceLock::new() }
    }

    /// Counts an answer with this status.
    pub(super) fn count(&self, status: StatusCode) {
        let made = self.made.get_or_init(|| Box::new(Made::new(&self.registry, &self.name)));
        made.by_class.count(status);
        made.by_code.count(status);
    }
}

impl Made {
    fn new(registry: &Registry, name: &str) -> Self {
        let prefix = format!("cluster.{name}.retry.upstream_rq");
        Self { by_class: ByClass::new(registry, &prefix), by_code: ByCode::new(registry, &prefix) }
    }
}
