//! TLS of connections on either side, and the secrets that it takes.

use std::sync::Arc;
use std::time::Duration;

use mesh_tls::{Credentials, Parameters, Pins, SanMatcher, TrustBundle};

use super::Name;

/// Envoy's `DownstreamTlsContext`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DownstreamTls {
    pub(crate) common: CommonTls,
    /// Clients without a certificate are refused.
    pub(crate) require_client_certificate: bool,
    /// `prefer_client_ciphers`.
    pub(crate) prefer_client_ciphers: bool,
    /// Clients without SNI are refused.
    pub(crate) require_sni: bool,
    /// Sessions may be resumed by tickets (`disable_stateless_session_resumption` is not
    /// set).
    pub(crate) tickets: bool,
}

/// Envoy's `UpstreamTlsContext`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UpstreamTls {
    pub(crate) common: CommonTls,
    /// `sni`; without it none is sent.
    pub(crate) sni: Option<Name>,
    /// Whether sessions are resumed (`max_session_keys` is not 0).
    pub(crate) resume: bool,
}

/// Envoy's `CommonTlsContext`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CommonTls {
    pub(crate) parameters: Parameters,
    /// `alpn_protocols`, the preferred first.
    pub(crate) alpn: Vec<Vec<u8>>,
    /// A server may have several: SNI chooses.
    pub(crate) certificates: Vec<CertificateSource>,
    /// `validation_context`, or the `default_validation_context` of a combined one.
    pub(crate) validation: Arc<Validation>,
    /// `validation_context_sds_secret_config`: what it says is merged over `validation`.
    pub(crate) validation_secret: Option<SecretConfig>,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CertificateSource {
    Own(Arc<Certificate>),
    Secret(SecretConfig),
}

/// Envoy's `TlsCertificate`.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) credentials: Credentials,
    /// Where the chain was read from, for people.
    pub(crate) origin: Name,
}

/// Envoy's `CertificateValidationContext`. Without roots any certificate is taken that is
/// pinned, or any at all without pins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Validation {
    /// `trusted_ca`
    pub(crate) roots: Option<Roots>,
    /// One of them must accept the peer; without any, everybody is accepted.
    pub(crate) names: Vec<SanMatcher>,
    /// `verify_certificate_hash` and `verify_certificate_spki`.
    pub(crate) pins: Pins,
}

/// The certificates by which peers are trusted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Roots {
    pub(crate) bundle: TrustBundle,
    /// Where they were read from, for people.
    pub(crate) origin: Name,
}

/// Envoy's `Secret`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Secret {
    Certificate(Arc<Certificate>),
    Validation(Arc<Validation>),
}

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
    Certificate,
    Validation,
}

/// Envoy's `SdsSecretConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretConfig {
    pub(crate) key: SecretKey,
    /// What it is needed as.
    pub(crate) kind: SecretKind,
    /// How long those who need it wait for it. `None`: for ever. Envoy's default is 15
    /// seconds.
    pub(crate) initial_fetch_timeout: Option<Duration>,
}

/// Which secret: names are those of one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SecretKey {
    pub(crate) source: SecretSource,
    pub(crate) name: Name,
}

/// Where secrets come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum SecretSource {
    /// `static_resources.secrets`
    Static,
    /// ADS.
    Ads,
    /// SDS by gRPC from this static cluster.
    Grpc(Name),
}

impl Secret {
    pub(crate) fn kind(&self) -> SecretKind {
        match self {
            Self::Certificate(_) => SecretKind::Certificate,
            Self::Validation(_) => SecretKind::Validation,
        }
    }
}

impl SecretKind {
    /// The field of Envoy's `Secret`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Certificate => "tls_certificate",
            Self::Validation => "validation_context",
        }
    }
}

impl CommonTls {
    /// The secrets that it needs.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretConfig> {
        let certificates = self.certificates.iter().filter_map(|certificate| match certificate {
            CertificateSource::Secret(secret) => Some(secret),
            CertificateSource::Own(_) => None,
        });
        certificates.chain(&self.validation_secret)
    }
}

// The public key stands for the private one: no secret is compared.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.credentials.chain() == other.credentials.chain()
            && self.credentials.key().public_key() == other.credentials.key().public_key()
            && self.origin == other.origin
    }
}

impl Validation {
    /// Both, as protobuf merges messages: names add up, the roots of `other` win.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        Self {
            roots: other.roots.as_ref().or(self.roots.as_ref()).cloned(),
            names: self.names.iter().chain(&other.names).cloned().collect(),
            pins: Pins {
                certificates: [&*self.pins.certificates, &other.pins.certificates].concat(),
                keys: [&*self.pins.keys, &other.pins.keys].concat(),
            },
        }
    }
}
