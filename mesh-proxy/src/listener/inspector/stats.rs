//! What the inspectors count, under Envoy's names.

use super::ClientHello;
use crate::stats::{Counter, Registry};

/// `tls_inspector.*`
pub(in crate::listener) struct TlsInspectorStats {
    pub(super) client_hello_too_big: Counter,
    tls_found: Counter,
    tls_not_found: Counter,
    sni_found: Counter,
    sni_not_found: Counter,
    alpn_found: Counter,
    alpn_not_found: Counter,
}

impl TlsInspectorStats {
    pub(in crate::listener) fn new(registry: &Registry) -> Self {
        let counter = |name| registry.counter(&format!("tls_inspector.{name}"));
        Self {
            client_hello_too_big: counter("client_hello_too_big"),
            tls_found: counter("tls_found"),
            tls_not_found: counter("tls_not_found"),
            sni_found: counter("sni_found"),
            sni_not_found: counter("sni_not_found"),
            alpn_found: counter("alpn_found"),
            alpn_not_found: counter("alpn_not_found"),
        }
    }

    /// `None`: not TLS.
    pub(super) fn count(&self, hello: Option<&ClientHello>) {
        let Some(hello) = hello else { return self.tls_not_found.inc() };
        self.tls_found.inc();
        if hello.server_name.is_some() { &self.sni_found } else { &self.sni_not_found }.inc();
        if hello.alpn.is_empty() { &self.alpn_not_found } else { &self.alpn_found }.inc();
    }
}
