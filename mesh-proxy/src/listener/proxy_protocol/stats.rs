//! What is counted of PROXY protocol headers, under Envoy's names.

use crate::config;
use crate::stats::{Counter, Registry};

/// `proxy_proto.<stat_prefix>.*`
pub(super) struct Stats {
    pub(super) not_found_allowed: Counter,
    pub(super) not_found_disallowed: Counter,
    pub(super) v1: Version,
    pub(super) v2: Version,
    /// Of all listeners: `downstream_cx_proxy_proto_error`.
    error: Counter,
}

/// `proxy_proto.<stat_prefix>.versions.<version>.*`
pub(super) struct Version {
    pub(super) found: Counter,
    disallowed: Counter,
    error: Counter,
}

impl Version {
    /// A header of this version was found, and is not taken here. As in Envoy that is no
    /// error.
    pub(super) fn refuse(&self) {
        self.found.inc();
        self.disallowed.inc();
    }
}

impl Stats {
    pub(super) fn new(config: &config::ProxyProtocol, registry: &Registry) -> Self {
        let prefix = match &*config.stat_prefix {
            "" => "proxy_proto".to_owned(),
            prefix => format!("proxy_proto.{prefix}"),
        };
        let counter = |name: &str| registry.counter(&format!("{prefix}.{name}"));
        let version = |version: &str| Version {
            found: counter(&format!("versions.{version}.found")),
            disallowed: counter(&format!("versions.{version}.disallowed")),
            error: counter(&format!("versions.{version}.error")),
        };
        Self {
            not_found_allowed: counter("not_found_allowed"),
            not_found_disallowed: counter("not_found_disallowed"),
            v1: version("v1"),
            v2: version("v2"),
            error: registry.counter("downstream_cx_proxy_proto_error"),
        }
    }

    /// A header of this version cannot be understood.
    pub(super) fn malformed(&self, version: &Version) {
        version.error.inc();
        self.error.inc();
    }

    /// There is no header.
    pub(super) fn missing(&self) {
        self.not_found_disallowed.inc();
        self.error.inc();
    }
}
