//! Counters of responses, by the class of their status.

use http::StatusCode;

use super::{Counter, Registry};

/// `<prefix>_completed`, and `<prefix>_1xx` to `<prefix>_5xx`.
pub(crate) struct ByClass {
    completed: Counter,
    classes: [Counter; 5],
}

impl ByClass {
    pub(crate) fn new(registry: &Registry, prefix: &str) -> Self {
        let counter = |stat| registry.counter(&format!("{prefix}_{stat}"));
        Self {
            completed: counter("completed"),
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(counter),
        }
    }

    /// Counts a response of this status; what is no status of HTTP is in no class.
    pub(crate) fn count(&self, status: StatusCode) {
        self.completed.inc();
        let class = usize::from(status.as_u16() / 100).checked_sub(1);
        if let Some(class) = class.and_then(|class| self.classes.get(class)) {
            class.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_counts_in_its_class() {
        let registry = Registry::new(1);
        let classes = ByClass::new(&registry, "cluster.a.upstream_rq");
        for status in [100, 200, 204, 503, 600] {
            classes.count(StatusCode::from_u16(status).unwrap());
        }
        let value = |stat: &str| registry.counter(&format!("cluster.a.upstream_rq_{stat}")).value();
        let counted = ["completed", "1xx", "2xx", "3xx", "4xx", "5xx"].map(value);
        assert_eq!(counted, [5, 1, 2, 0, 0, 1]);
    }
}
