use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one crypto provider of the whole program: AWS-LC.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
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
