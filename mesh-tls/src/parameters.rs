use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

use crate::provider;

/// What a handshake may agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// At least one.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Of TLS 1.2, the preferred first; all that there are when empty. Those of 1.3 are
    /// always there, as in Envoy.
    pub cipher_suites: Vec<CipherSuite>,
    /// Groups of key exchange, the preferred first; all that there are when empty.
    pub groups: Vec<NamedGroup>,
}

impl Default for Parameters {
    /// All that there is.
    fn default() -> Self {
        Self::from(rustls::ALL_VERSIONS)
    }
}

impl From<&[&'static SupportedProtocolVersion]> for Parameters {
    fn from(versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { versions: versions.to_vec(), cipher_suites: Vec::new(), groups: Vec::new() }
    }
}

impl<const N: usize> From<&[&'static SupportedProtocolVersion; N]> for Parameters {
    fn from(versions: &[&'static SupportedProtocolVersion; N]) -> Self {
        Self::from(&versions[..])
    }
}

impl Parameters {
    /// The provider with these suites and groups alone.
    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        if self.cipher_suites.is_empty() && self.groups.is_empty() {
            return provider();
        }
        let mut provider = CryptoProvider::clone(&provider());
        if !self.cipher_suites.is_empty() {
            let older = self.cipher_suites.iter().filter_map(|wanted| {
                ALL_CIPHER_SUITES.iter().find(|suite| suite.suite() == *wanted).copied()
            });
            let newer = ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some()).copied();
            provider.cipher_suites = newer.chain(older).collect();
        }
        if !self.groups.is_empty() {
            let groups = self.groups.iter().filter_map(|wanted| {
                ALL_KX_GROUPS.iter().find(|group| group.name() == *wanted).copied()
            });
            provider.kx_groups = groups.collect();
        }
        Arc::new(provider)
    }
}
