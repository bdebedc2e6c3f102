//! Counters by HTTP status, made as statuses come.

use std::sync::OnceLock;

use http::StatusCode;

use super::{Counter, Registry};

/// `<prefix>_<status>`. No lock is taken for a status that was seen before.
pub(crate) struct ByCode {
    registry: Registry,
    prefix: Box<str>,
    first: Slot,
}

type Slot = OnceLock<Box<Code>>;

struct Code {
    status: StatusCode,
    counter: Counter,
    next: Slot,
}

impl ByCode {
    pub(crate) fn new(registry: &Registry, prefix: &str) -> Self {
        Self { registry: registry.clone(), prefix: prefix.into(), first: Slot::new() }
    }

    /// Counts one of this status. There are few in practice, the most frequent ones first.
    pub(crate) fn count(&self, status: StatusCode) {
        let mut slot = &self.first;
        loop {
            let code = slot.get_or_init(|| self.code(status));
            if code.status == status {
                return code.counter.inc();
            }
            slot = &code.next;
        }
    }

    fn code(&self, status: StatusCode) -> Box<Code> {
        // Envoy's word for what is no status of HTTP.
        let name = match status.as_u16() {
            known @ ..600 => format!("{}_{known}", self.prefix),
            _ => format!("{}_unknown", self.prefix),
        };
        Box::new(Code { status, counter: self.registry.counter(&name), next: Slot::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_counter() {
        let registry = Registry::new(1);
        let codes = ByCode::new(&registry, "cluster.a.upstream_rq");
        for status in [200, 503, 200, 600] {
            codes.count(StatusCode::from_u16(status).unwrap());
        }
        assert_eq!(registry.counter("cluster.a.upstream_rq_200").value(), 2);
        assert_eq!(registry.counter("cluster.a.upstream_rq_503").value(), 1);
        assert_eq!(registry.counter("cluster.a.upstream_rq_unknown").value(), 1);
    }
}
