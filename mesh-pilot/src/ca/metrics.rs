use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use mesh_tls::AcceptCounters;

use super::rollover::Trust;
use crate::fleet::{gauge, head};

/// Why requests are refused.
const REASONS: [&str; 13] = [
    "no_credentials",
    "malformed_token",
    "forged_token",
    "expired_token",
    "foreign_token",
    "foreign_certificate",
    "unavailable",
    "foreign_identity",
    "not_a_request",
    "weak_key",
    "too_large",
    "too_many",
    "signing",
];

/// How many of them, from the first, are failures of authentication.
const AUTHENTICATION: usize = 7;

/// What the authority has done, by Istio's names where it has them.
#[derive(Default)]
pub(super) struct Metrics {
    requests: AtomicU64,
    issued: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
}

impl Metrics {
    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn issued(&self) {
        self.issued.fetch_add(1, Relaxed);
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, reason: &str) {
        if let Some(place) = REASONS.iter().position(|known| *known == reason) {
            self.refused[place].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn render(&self, out: &mut String, trust: &Trust, connections: &AcceptCounters) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let of = |reason: &str| {
            let place = REASONS.iter().position(|known| *known == reason);
            place.map_or(0, |place| get(&self.refused[place]))
        };
        let failures = self.refused[..AUTHENTICATION].iter().map(get).sum();
        for (name, help, value) in [
            ("citadel_server_csr_count", "Certificates asked for.", get(&self.requests)),
            (
                "citadel_server_success_cert_issuance_count",
                "Certificates issued.",
                get(&self.issued),
            ),
            (
                "citadel_server_authentication_failure_count",
                "Callers whose identity was not proven.",
                failures,
            ),
            (
                "citadel_server_csr_parsing_err_count",
                "Requests that were none, or with a weak key.",
                of("not_a_request") + of("weak_key"),
            ),
            (
                "citadel_server_csr_sign_err_count",
                "Requests that could not be signed.",
                of("signing"),
            ),
            (
                "mesh_pilot_tls_handshakes",
                "TLS connections that were taken.",
                get(&connections.accepted),
            ),
            (
                "mesh_pilot_tls_handshake_failures",
                "TLS connections that failed.",
                get(&connections.failed),
            ),
        ] {
            head(out, name, help, "counter");
            let _ = writeln!(out, "{name} {value}");
        }
        let name = "mesh_pilot_ca_refusals";
        head(out, name, "Requests for certificates that were refused.", "counter");
        for (reason, counter) in REASONS.iter().zip(&self.refused) {
            let _ = writeln!(out, "{name}{{reason=\"{reason}\"}} {}", get(counter));
        }
        let end = trust.authority.not_after().duration_since(SystemTime::UNIX_EPOCH);
        let name = "citadel_server_root_cert_expiry_timestamp";
        let help = "When the authority, or its root, ends; seconds since 1970.";
        gauge(out, name, help, end.unwrap_or_default().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::caller::CallerError;

    #[test]
    fn every_refusal_of_a_caller_has_its_place() {
        for error in [
            CallerError::Nothing,
            CallerError::Form(""),
            CallerError::Forged(String::new()),
            CallerError::Expired,
            CallerError::Foreign(String::new()),
            CallerError::Certificate(String::new()),
            CallerError::Unavailable(String::new()),
        ] {
            assert!(REASONS[..AUTHENTICATION].contains(&error.reason()), "{error}");
        }
    }
}
