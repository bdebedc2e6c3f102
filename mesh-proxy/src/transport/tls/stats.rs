//! What is counted of handshakes, under Envoy's names.

use std::sync::OnceLock;

use rustls::{CipherSuite, CommonState, HandshakeKind, NamedGroup, ProtocolVersion};

use super::{FailureKind, HandshakeError};
use crate::stats::{Counter, Registry};

/// `listener.<address>.ssl.*` or `cluster.<name>.ssl.*`.
pub(crate) struct SslStats {
    handshake: Counter,
    session_reused: Counter,
    connection_error: Counter,
    no_certificate: Counter,
    fail_verify_no_cert: Counter,
    fail_verify_error: Counter,
    fail_verify_san: Counter,
    not_ready: Counter,
    updated: Counter,
    /// Those that were met; the others are not made.
    versions: [OnceLock<Counter>; VERSIONS.len()],
    ciphers: [OnceLock<Counter>; CIPHERS.len()],
    curves: [OnceLock<Counter>; CURVES.len()],
    registry: Registry,
    prefix: String,
}

const VERSIONS: [(ProtocolVersion, &str); 2] =
    [(ProtocolVersion::TLSv1_2, "TLSv1.2"), (ProtocolVersion::TLSv1_3, "TLSv1.3")];

/// The suites that rustls has, by OpenSSL's names.
const CIPHERS: [(CipherSuite, &str); 9] = [
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"),
];

const CURVES: [(NamedGroup, &str); 4] = [
    (NamedGroup::X25519, "X25519"),
    (NamedGroup::secp256r1, "P-256"),
    (NamedGroup::secp384r1, "P-384"),
    (NamedGroup::X25519MLKEM768, "X25519MLKEM768"),
];

/// Envoy's name of a version.
pub(super) fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    name(&VERSIONS, version)
}

/// OpenSSL's name of a suite.
pub(super) fn cipher_name(suite: Option<CipherSuite>) -> &'static str {
    name(&CIPHERS, suite)
}

fn name<K: PartialEq>(names: &[(K, &'static str)], key: Option<K>) -> &'static str {
    let found = names.iter().find(|(known, _)| Some(known) == key.as_ref());
    found.map_or("", |(_, name)| name)
}

impl SslStats {
    /// `prefix` is everything before `.ssl`.
    pub(crate) fn of_listener(registry: &Registry, prefix: &str) -> Self {
        Self::new(registry, prefix, "server_ssl_socket_factory", "downstream")
    }

    /// `prefix` is everything before `.ssl`.
    pub(crate) fn of_cluster(registry: &Registry, prefix: &str) -> Self {
        Self::new(registry, prefix, "client_ssl_socket_factory", "upstream")
    }

    fn new(registry: &Registry, prefix: &str, factory: &str, side: &str) -> Self {
        let counter = |name| registry.counter(&format!("{prefix}.ssl.{name}"));
        Self {
            handshake: counter("handshake"),
            session_reused: counter("session_reused"),
            connection_error: counter("connection_error"),
            no_certificate: counter("no_certificate"),
            fail_verify_no_cert: counter("fail_verify_no_cert"),
            fail_verify_error: counter("fail_verify_error"),
            fail_verify_san: counter("fail_verify_san"),
            not_ready: registry
                .counter(&format!("{prefix}.{factory}.{side}_context_secrets_not_ready")),
            updated: registry.counter(&format!("{prefix}.{factory}.ssl_context_update_by_sds")),
            versions: Default::default(),
            ciphers: Default::default(),
            curves: Default::default(),
            registry: registry.clone(),
            prefix: prefix.to_owned(),
        }
    }

    /// Counts that a secret changed: here, that the first handshake after it has begun.
    pub(super) fn updated(&self) {
        self.updated.inc();
    }

    /// Counts a handshake that succeeded.
    pub(super) fn count_success(&self, session: &CommonState) {
        self.handshake.inc();
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.session_reused.inc();
        }
        if session.peer_certificates().is_none_or(<[_]>::is_empty) {
            self.no_certificate.inc();
        }
        self.count("versions", &VERSIONS, &self.versions, session.protocol_version());
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        self.count("ciphers", &CIPHERS, &self.ciphers, suite);
        let group = session.negotiated_key_exchange_group().map(|group| group.name());
        self.count("curves", &CURVES, &self.curves, group);
    }

    /// Counts one that failed, and gives it back.
    pub(crate) fn failed(&self, error: HandshakeError) -> HandshakeError {
        match error.kind {
            FailureKind::NoCertificate => &self.fail_verify_no_cert,
            FailureKind::Verification => &self.fail_verify_error,
            FailureKind::SubjectAltName => &self.fail_verify_san,
            FailureKind::Connection => &self.connection_error,
            FailureKind::NotReady => &self.not_ready,
            FailureKind::Ended => return error,
        }
        .inc();
        error
    }

    fn count<K: PartialEq>(
        &self,
        group: &str,
        names: &[(K, &'static str)],
        counters: &[OnceLock<Counter>],
        key: Option<K>,
    ) {
        let at = names.iter().position(|(known, _)| Some(known) == key.as_ref());
        let Some((at, counter)) = at.and_then(|at| Some((at, counters.get(at)?))) else { return };
        let name = || format!("{}.ssl.{group}.{}", self.prefix, names[at].1);
        counter.get_or_init(|| self.registry.counter(&name())).inc();
    }
}
