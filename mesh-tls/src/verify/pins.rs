use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};

use crate::certificate;

/// The certificates or keys that are accepted, by their SHA-256 (Envoy's
/// `verify_certificate_hash` and `verify_certificate_spki`): one of either has to fit. Without
/// any, every one is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Of the whole certificate in DER.
    pub certificates: Vec<[u8; 32]>,
    /// Of its SubjectPublicKeyInfo in DER.
    pub keys: Vec<[u8; 32]>,
}

/// The certificate is good, but none of those that are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer's certificate is none of those that are pinned")]
struct NotPinned;

impl Pins {
    /// That the certificate is one of those.
    pub(super) fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        if self.certificates.is_empty() && self.keys.is_empty() {
            return Ok(());
        }
        let bad = |error| Error::InvalidCertificate(error);
        let parsed = certificate::parse(leaf).map_err(|_| bad(CertificateError::BadEncoding))?;
        let is_pinned =
            contains(&self.certificates, leaf) || contains(&self.keys, parsed.public_key().raw);
        match is_pinned {
            true => Ok(()),
            false => Err(bad(CertificateError::Other(OtherError(Arc::new(NotPinned))))),
        }
    }
}

fn contains(hashes: &[[u8; 32]], bytes: &[u8]) -> bool {
    let hash = digest(&SHA256, bytes);
    hashes.iter().any(|known| known == hash.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> [u8; 32] {
        digest(&SHA256, bytes).as_ref().try_into().unwrap()
    }

    #[test]
    fn one_hash_of_either_has_to_fit() {
        let pair = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let leaf = pair.cert.der().clone();
        let key = certificate::parse(&leaf).unwrap().public_key().raw.to_vec();
        let check = |certificates: &[[u8; 32]], keys: &[[u8; 32]]| {
            Pins { certificates: certificates.to_vec(), keys: keys.to_vec() }.check(&leaf).is_ok()
        };
        let other = [7; 32];
        assert!(check(&[], &[]));
        assert!(check(&[other, hash(&leaf)], &[]) && check(&[other], &[hash(&key)]));
        assert!(!check(&[other], &[]) && !check(&[], &[hash(&leaf)]));
    }
}
