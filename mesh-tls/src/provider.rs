use std::sync::{Arc, OnceLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one crypto provider of the whole program: AWS-LC. Of the suites that are as good,
/// AES-128-GCM is the first, as in BoringSSL: it costs the least.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let first = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| !first.contains(&suite.suite()));
        Arc::new(provider)
    }))
}

/// Makes it the process's default, for libraries that take it from there. Each binary calls
/// this first; further calls do nothing.
pub fn install() {
    // An error says that there is one already, from an earlier call.
    let _ = CryptoProvider::install_default((*provider()).clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_be_installed_twice() {
        install();
        install();
        assert!(CryptoProvider::get_default().is_some());
    }
}
