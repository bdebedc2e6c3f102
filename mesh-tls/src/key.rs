use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _, SanType};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::SpiffeId;
use crate::pem;

/// A private key in memory. What it prints as tells nothing of it.
pub struct PrivateKey {
    der: PrivateKeyDer<'static>,
    /// SubjectPublicKeyInfo, in DER.
    public: Vec<u8>,
}

/// A private key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gives no randomness, or the like.
    #[error("a private key cannot be made: {0}")]
    Make(#[source] rcgen::Error),
    /// No `PRIVATE KEY` block, or not what it says.
    #[error("not a private key in PEM: expected one PKCS#8, SEC1 or PKCS#1 block")]
    Form,
    /// Neither ECDSA (P-256, P-384, P-521), RSA nor Ed25519.
    #[error("a private key of an unknown kind: expected ECDSA, RSA or Ed25519")]
    Kind,
    /// A request for a certificate cannot be signed.
    #[error("a certificate request cannot be made: {0}")]
    Request(#[source] rcgen::Error),
}

impl PrivateKey {
    /// A new P-256 key.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(KeyError::Make)?;
        let public = pair.subject_public_key_info();
        Ok(Self { der: PrivateKeyDer::Pkcs8(pair.serialize_der().into()), public })
    }

    /// The first private key of the text: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Form)?;
        let public = KeyPair::try_from(&der).map_err(|_| KeyError::Kind)?.subject_public_key_info();
        Ok(Self { der, public })
    }

    /// The key in PEM: PKCS#8 for one made here, else in the form that it came in. A secret.
    pub fn to_pem(&self) -> String {
        let label = match &self.der {
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::block(label, self.der.secret_der())
    }

    /// The key in DER, for rustls. A secret.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        self.der.clone_key()
    }

    /// SubjectPublicKeyInfo in DER (RFC 5280, section 4.1).
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    pub(crate) fn pair(&self) -> Result<KeyPair, KeyError> {
        KeyPair::try_from(&self.der).map_err(|_| KeyError::Kind)
    }
}

impl Clone for PrivateKey {
    fn clone(&self) -> Self {
        Self { der: self.der.clone_key(), public: self.public.clone() }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// A request (PKCS#10, PEM) for a certificate of this identity, signed by `key`.
pub fn csr(key: &PrivateKey, id: &SpiffeId) -> Result<String, KeyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let uri = id.to_string().try_into().map_err(KeyError::Request)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let request = params.serialize_request(&key.pair()?).map_err(KeyError::Request)?;
    request.pem().map_err(KeyError::Request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_printed_nowhere() {
        let key = PrivateKey::generate().unwrap();
        let text = key.to_pem();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(PrivateKey::from_pem(&text).unwrap().public_key(), key.public_key());
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
        for bad in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(PrivateKey::from_pem(bad).is_err(), "{bad}");
        }
    }
}
